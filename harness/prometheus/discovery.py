"""Find the Prometheus and the Alertmanager of a cluster, and connect to them without a port-forward.

The search order is: the URL that the user gave; a Service labelled ``resilience.harness/component=prometheus`` (or
``alertmanager``); the Services of the usual installations. In an owned cluster they are reached through their nodePort
on loopback, in any other through the API server's proxy, with the credentials of the kubeconfig.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import SERVICES
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.common.errors import ApiError, CapabilityMissing, Inconclusive, PrometheusUnusable, TimedOut
from harness.common.naming import COMPONENT_LABEL
from harness.common.waiting import wait_until
from harness.prometheus.access import PrometheusAccess
from harness.prometheus.alertmanager import Alertmanager
from harness.prometheus.client import Prometheus, PrometheusError
from harness.prometheus.session import Via

# Service names in usual installations: plain manifests, the operator, kube-prometheus and the two Helm charts.
WELL_KNOWN = (
    "prometheus",
    "prometheus-operated",
    "prometheus-k8s",
    "kube-prometheus-stack-prometheus",
    "prometheus-kube-prometheus-prometheus",
    "prometheus-server",
)
ALERTMANAGERS = (
    "alertmanager",
    "alertmanager-operated",
    "alertmanager-main",
    "kube-prometheus-stack-alertmanager",
    "prometheus-kube-prometheus-alertmanager",
    "prometheus-alertmanager",
)
PORT_NAMES = ("web", "http-web", "http", "https-web", "https")

# A restarting server is back within seconds, and a wrong URL should fail soon.
NAMED_SECONDS = 5.0

# Needed for the search only, not with --prometheus-url.
PERMISSIONS = allow(SERVICES, "list", place="cluster")
# For a server of the experiment's own workload.
OWN_PERMISSIONS = allow(SERVICES, "get") | allow(SERVICES, "get", part="proxy")


@dataclass(frozen=True, slots=True)
class _Way:
    """How a server is reached: its URL, and the transport that replaces direct connections, if any."""

    url: str
    via: Via | None = None


def prometheus_for(cluster: Cluster, url: str = "", access: PrometheusAccess | None = None) -> Prometheus | None:
    """Return the Prometheus at ``url``, or the first ready one of the cluster, or None.

    Credentials are only sent to ``url``. Return None as well if Services may not be listed. Raises ApiError.
    """
    if url:
        return Prometheus(url, access)
    for service in _candidates(cluster.api, "prometheus", WELL_KNOWN):
        way = _reach(cluster, service)
        found = Prometheus(way.url, via=way.via)
        if found.ready() is None:
            return found
        found.close()
    return None


def alertmanager_for(cluster: Cluster, url: str = "") -> Alertmanager | None:
    """Return the Alertmanager at ``url``, or the first one of the cluster that answers, or None.

    Return None as well if Services may not be listed. Raises ApiError.
    """
    if url:
        return Alertmanager(url)
    for service in _candidates(cluster.api, "alertmanager", ALERTMANAGERS):
        way = _reach(cluster, service)
        found = Alertmanager(way.url, way.via)
        if found.ready() is None:
            return found
        found.close()
    return None


def own_prometheus(cluster: Cluster, namespace: str, service: str) -> Prometheus:
    """Return the Prometheus behind ``service/NAME[:PORT]`` of a namespace, reached through the API server.

    Raises ApiError if there is no such Service, or Inconclusive without such a port.
    """
    way = _own(cluster.api, namespace, service)
    return Prometheus(way.url, via=way.via)


def own_alertmanager(cluster: Cluster, namespace: str, service: str) -> Alertmanager:
    """Return the Alertmanager behind ``service/NAME[:PORT]`` of a namespace, as for Prometheus."""
    way = _own(cluster.api, namespace, service)
    return Alertmanager(way.url, way.via)


def check_named(url: str, access: PrometheusAccess, clock: Clock) -> None:
    """Check that a Prometheus answers at the URL of ``--prometheus-url``. Raises PrometheusUnusable with the reason."""
    prometheus = Prometheus(url, access)

    def look() -> tuple[bool | None, str]:
        reason = prometheus.ready()
        return (None if reason else True), reason or ""

    try:
        wait_until("--prometheus-url", look, NAMED_SECONDS, clock, every=1.0)
    except TimedOut as error:
        raise PrometheusUnusable(
            f"--prometheus-url: {error.last} (tried for {NAMED_SECONDS:g} s); nothing was deployed. Correct the "
            "URL, the credentials or the network, or omit the option to use the cluster's own Prometheus"
        ) from error
    finally:
        prometheus.close()


def _own(api: KubeApi, namespace: str, reference: str) -> _Way:
    name, _, wanted = reference.removeprefix("service/").partition(":")
    service = api.get(SERVICES, name, namespace)
    if not wanted:
        return _through_api_server(api, service, _port(service))
    ports = service["spec"].get("ports") or []
    found = next((port for port in ports if wanted in {port.get("name"), str(port["port"])}), None)
    if found is None:
        raise Inconclusive(f"Service {name} has no port {wanted}")
    return _through_api_server(api, service, found)


def _candidates(api: KubeApi, component: str, known: Sequence[str]) -> list[Object]:
    try:
        services = api.list(SERVICES).items
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    ranked = [(_rank(service, component, known), service) for service in services]
    chosen = [(rank, service) for rank, service in ranked if rank is not None]
    chosen.sort(key=lambda entry: (entry[0], entry[1]["metadata"]["namespace"], entry[1]["metadata"]["name"]))
    return [service for _, service in chosen]


def _rank(service: Object, component: str, known: Sequence[str]) -> int | None:
    meta = service["metadata"]
    if (meta.get("labels") or {}).get(COMPONENT_LABEL) == component:
        return 0
    return 1 + known.index(meta["name"]) if meta["name"] in known else None


def _reach(cluster: Cluster, service: Object) -> _Way:
    port = _port(service)
    if cluster.ownership is Ownership.OWNED and "nodePort" in port:
        try:
            address = cluster.loopback(int(port["nodePort"]))
        except CapabilityMissing:
            return _through_api_server(cluster.api, service, port)
        return _Way(f"http://{address}")
    return _through_api_server(cluster.api, service, port)


def _port(service: Object) -> dict[str, Any]:
    ports: list[dict[str, Any]] = service["spec"].get("ports") or [{"port": 9090}]

    def rank(port: Mapping[str, Any]) -> tuple[int, bool]:
        name = port.get("name", "")
        return PORT_NAMES.index(name) if name in PORT_NAMES else len(PORT_NAMES), port["port"] not in {9090, 9093}

    return min(ports, key=rank)


def _through_api_server(api: KubeApi, service: Object, port: Mapping[str, Any]) -> _Way:
    meta = service["metadata"]
    # The API server's proxy takes the scheme as a prefix of the Service's name; without one it uses http.
    scheme = "https:" if str(port.get("name", "")).startswith("https") else ""
    path = f"/api/v1/namespaces/{meta['namespace']}/services/{scheme}{meta['name']}:{port['port']}/proxy"
    return _Way(f"{api.server}{path}", ApiServerAdapter(api.clone()))


class ApiServerAdapter(Via):
    """Sends GET requests of ``requests`` to a Service through the API server, with the TLS, tokens and retries of a
    KubeApi."""

    def __init__(self, api: KubeApi) -> None:
        super().__init__()
        self._api = api

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send a request. Raises requests.ConnectionError if the API server does not answer."""
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix(urlsplit(self._api.server).path.rstrip("/"))
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        try:
            response.raw = BytesIO(self._api.raw(path, dict(parse_qsl(parts.query))))
            response.status_code = 200
        except ApiError as error:
            if not error.status:
                raise requests.ConnectionError(str(error), request=request) from error
            # The error message ends with the Service's own JSON response, which contains the reason.
            text = str(error)
            response.raw = BytesIO(text[max(0, text.find("{")) :].encode())
            response.status_code = error.status
        return response

    def clone(self) -> ApiServerAdapter:
        return ApiServerAdapter(self._api.clone())

    def close(self) -> None:
        self._api.close()


def answers(prometheus: Prometheus) -> tuple[float | None, str]:
    """Return the scrape interval if the server answers, and otherwise the error: for ``wait_until``."""
    try:
        return prometheus.scrape_interval(), ""
    except PrometheusError as error:
        return None, str(error)

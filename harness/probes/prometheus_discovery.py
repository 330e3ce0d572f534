"""Finds the Prometheus of a cluster, and a way to it that needs no port-forward.

In order: the URL that the user gave; a Service labelled ``resilience.harness/component=prometheus``; the Services that
the usual installations make. On clusters of ours it is reached by its nodePort on loopback, anywhere else by way of the
API server, with whatever certificates, tokens and plug-ins the kubeconfig names.
"""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import SERVICES
from harness.errors import ApiError, CapabilityMissing
from harness.naming import COMPONENT_LABEL
from harness.probes.prometheus import Prometheus
from harness.probes.prometheus_session import Via
from harness.prometheus_access import PrometheusAccess

OURS = ("local", "kind")
# Names that installations give it: a plain manifest, the operator, kube-prometheus, the two Helm charts.
WELL_KNOWN = (
    "prometheus",
    "prometheus-operated",
    "prometheus-k8s",
    "kube-prometheus-stack-prometheus",
    "prometheus-kube-prometheus-prometheus",
    "prometheus-server",
)
PORT_NAMES = ("web", "http-web", "http", "https-web", "https")

# For looking; who names one with --prometheus-url needs none of it.
PERMISSIONS = allow(SERVICES, "list", place="cluster")


def prometheus_for(cluster: Cluster, url: str = "", access: PrometheusAccess | None = None) -> Prometheus | None:
    """The Prometheus at ``url``, to which alone the credentials go, else the first ready one of the cluster, else None.
    None, too, where Services may not be listed. Raises ApiError."""
    if url:
        return Prometheus(url, access)
    for service in _candidates(cluster.api):
        found = _reach(cluster, service)
        if found.ready() is None:
            return found
        found.close()
    return None


def _candidates(api: KubeApi) -> list[Object]:
    try:
        services = api.list(SERVICES).items
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    ranked = [(_rank(service), service) for service in services]
    chosen = [(rank, service) for rank, service in ranked if rank is not None]
    chosen.sort(key=lambda entry: (entry[0], entry[1]["metadata"]["namespace"], entry[1]["metadata"]["name"]))
    return [service for _, service in chosen]


def _rank(service: Object) -> int | None:
    meta = service["metadata"]
    if (meta.get("labels") or {}).get(COMPONENT_LABEL) == "prometheus":
        return 0
    return 1 + WELL_KNOWN.index(meta["name"]) if meta["name"] in WELL_KNOWN else None


def _reach(cluster: Cluster, service: Object) -> Prometheus:
    port = _port(service)
    if cluster.provider in OURS and "nodePort" in port:
        try:
            address = cluster.loopback(int(port["nodePort"]))
        except CapabilityMissing:
            return _through_api_server(cluster.api, service, port)
        # A proxy of the environment is meant for the world outside, and would not find our loopback.
        return Prometheus(f"http://{address}", trust_env=False)
    return _through_api_server(cluster.api, service, port)


def _port(service: Object) -> dict[str, Any]:
    ports: list[dict[str, Any]] = service["spec"].get("ports") or [{"port": 9090}]

    def rank(port: Mapping[str, Any]) -> tuple[int, bool]:
        name = port.get("name", "")
        return PORT_NAMES.index(name) if name in PORT_NAMES else len(PORT_NAMES), port["port"] != 9090

    return min(ports, key=rank)


def _through_api_server(api: KubeApi, service: Object, port: Mapping[str, Any]) -> Prometheus:
    meta = service["metadata"]
    scheme = "https:" if str(port.get("name", "")).startswith("https") else ""
    path = f"/api/v1/namespaces/{meta['namespace']}/services/{scheme}{meta['name']}:{port['port']}/proxy"
    return Prometheus(f"{api.server}{path}", via=ApiServerAdapter(api.clone()))


class ApiServerAdapter(Via):
    """Lets ``requests`` speak to a Service through the API server, over a KubeApi and all that it knows of TLS, tokens
    and retries. GET only."""

    def __init__(self, api: KubeApi) -> None:
        super().__init__()
        self._api = api

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Raises requests.ConnectionError when the API server does not answer."""
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
            # The service's own answer stands at the end of the message; in it, the words that a user needs.
            text = str(error)
            response.raw = BytesIO(text[max(0, text.find("{")) :].encode())
            response.status_code = error.status
        return response

    def clone(self) -> ApiServerAdapter:
        return ApiServerAdapter(self._api.clone())

    def close(self) -> None:
        self._api.close()

"""The Prometheus of a cluster is found by label or well-known name, and reached without a port-forward."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.protocol import Address
from harness.common.errors import ApiError, CapabilityMissing, Inconclusive
from harness.prometheus.client import NoData, PrometheusUnreachable, QueryRefused
from harness.prometheus.discovery import alertmanager_for, own_alertmanager, own_prometheus, prometheus_for
from tests.unit.prometheus.scripted_prometheus import vector

PROXY = "/api/v1/namespaces/{}/services/{}/proxy"


def service(name: str, namespace: str, *ports: dict[str, Any], **labels: str) -> dict[str, Any]:
    spec = {"ports": list(ports) or [{"name": "web", "port": 9090}]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def serve(cluster: FakeCluster, place: str, **pages: Any) -> list[Mapping[str, str]]:
    """Let the API server's proxy answer for a Prometheus; returns what its queries are asked with."""
    asked: list[Mapping[str, str]] = []

    def query(parameters: Mapping[str, str]) -> bytes:
        asked.append(parameters)
        return json.dumps(pages["query"]).encode()

    cluster.server.pages[f"{place}/-/ready"] = lambda _: b"Prometheus Server is Ready."
    cluster.server.pages[f"{place}/api/v1/query"] = query
    return asked


def test_user_url_takes_precedence() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus", "monitoring"))
    found = prometheus_for(cluster, "https://metrics.example.org/prometheus/")
    assert found is not None
    assert found.url == "https://metrics.example.org/prometheus"
    assert cluster.server.calls == []


def test_a_cluster_without_one_has_none() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus-adapter", "monitoring"), service("shop", "shop"))
    assert prometheus_for(cluster) is None


def test_queries_go_through_the_api_server() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus-operated", "observability"))
    asked = serve(cluster, PROXY.format("observability", "prometheus-operated:9090"), query=vector(3))
    found = prometheus_for(cluster)
    assert found is not None
    assert found.number('sum(up{a="b&c"})', at=5.0).value == 3.0
    assert asked[0]["query"] == 'sum(up{a="b&c"})'
    assert asked[0]["time"] == "5.0"


def test_service_labelled_for_the_harness_wins_over_known_names() -> None:
    cluster = FakeCluster()
    cluster.server.seed(
        service("prometheus", "monitoring"),
        service("metrics", "zoo", **{"resilience.harness/component": "prometheus"}),
    )
    for place in ("monitoring/prometheus", "zoo/metrics"):
        namespace, name = place.split("/")
        serve(cluster, PROXY.format(namespace, f"{name}:9090"), query=vector())
    found = prometheus_for(cluster)
    assert found is not None
    assert "/namespaces/zoo/services/metrics:9090/" in found.url


def test_unready_server_is_skipped() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus", "a"), service("prometheus", "b"))
    serve(cluster, PROXY.format("b", "prometheus:9090"), query=vector())
    found = prometheus_for(cluster)
    assert found is not None
    assert "/namespaces/b/" in found.url


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([{"name": "reloader-web", "port": 8080}, {"name": "http-web", "port": 9090}], "prometheus:9090"),
        ([{"name": "grpc", "port": 10901}, {"port": 9090}], "prometheus:9090"),
        ([{"name": "https-web", "port": 443}], "https:prometheus:443"),
        ([{"port": 80}], "prometheus:80"),
    ],
)
def test_http_port_is_selected(ports: list[dict[str, Any]], expected: str) -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus", "monitoring", *ports))
    serve(cluster, PROXY.format("monitoring", expected), query=vector())
    assert prometheus_for(cluster) is not None


def test_owned_clusters_use_the_node_port_others_the_api_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus", "monitoring", {"name": "web", "port": 9090, "nodePort": 30000}))
    monkeypatch.setattr(cluster, "loopback", lambda port: Address("127.0.0.1", port))
    monkeypatch.setattr("harness.prometheus.client.Prometheus.ready", lambda _self: None)
    found = prometheus_for(cluster)
    assert found is not None
    assert found.url == "http://127.0.0.1:30000"

    def out_of_reach(port: int) -> Address:
        raise CapabilityMissing(f"no way to {port}")

    monkeypatch.setattr(cluster, "loopback", out_of_reach)
    found = prometheus_for(cluster)
    assert found is not None
    assert found.url.endswith("/services/prometheus:9090/proxy")


def test_errors_behind_the_api_server_quote_prometheus() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus", "monitoring"))
    place = PROXY.format("monitoring", "prometheus:9090")
    serve(cluster, place, query=vector())
    found = prometheus_for(cluster)
    assert found is not None
    with pytest.raises(NoData):
        found.number("up")
    body = '{"status":"error","errorType":"bad_data","error":"1:5: parse error"}'
    cluster.server.fail_next(400, "Error", f"GET {place}/api/v1/query: {body}", path="/api/v1/query")
    with pytest.raises(QueryRefused, match=r"^1:5: parse error: sum"):
        found.number("sum(")
    cluster.server.fail_next(0, "ConnectionFailed", "refused", count=20, path="/api/v1/query")
    with pytest.raises(PrometheusUnreachable, match="refused"):
        found.number("up")


def test_forbidden_service_list_means_no_prometheus() -> None:
    """Which permission is missing the session tells."""
    cluster = FakeCluster()
    cluster.server.seed(service("prometheus", "monitoring"))
    cluster.server.fail_next(403, "Forbidden", path="/services")
    assert prometheus_for(cluster) is None


def test_other_errors_listing_services_are_reported() -> None:
    cluster = FakeCluster()
    cluster.server.fail_next(400, "BadRequest", path="/services")
    with pytest.raises(ApiError, match="BadRequest"):
        prometheus_for(cluster)


def answer(cluster: FakeCluster, place: str, text: bytes = b"[]") -> None:
    cluster.server.pages[f"{place}/api/v2/alerts"] = lambda _: text


def test_alertmanager_is_found_like_prometheus() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("alertmanager-main", "monitoring", {"name": "web", "port": 9093}))
    assert alertmanager_for(cluster) is None
    answer(cluster, PROXY.format("monitoring", "alertmanager-main:9093"))
    found = alertmanager_for(cluster)
    assert found is not None
    assert "/namespaces/monitoring/services/alertmanager-main:9093/" in found.url
    assert found.alerts() == []


def test_url_of_alertmanager_takes_precedence() -> None:
    found = alertmanager_for(FakeCluster(), "https://me:secret@alerts.example.org/am/")
    assert found is not None
    assert found.place == "https://alerts.example.org/am"


@pytest.mark.parametrize(("reference", "port"), [("service/am", 9093), ("service/am:web", 9093), ("service/am:80", 80)])
def test_own_servers_are_reached_through_the_api_server(reference: str, port: int) -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("am", "shop", {"name": "other", "port": 80}, {"name": "web", "port": 9093}))
    place = f"/namespaces/shop/services/am:{port}/proxy"
    assert own_alertmanager(cluster, "shop", reference).url.endswith(place)
    assert own_prometheus(cluster, "shop", reference).url.endswith(place)


def test_own_server_without_the_port_is_refused() -> None:
    cluster = FakeCluster()
    cluster.server.seed(service("am", "shop"))
    with pytest.raises(Inconclusive, match="Service am has no port grpc"):
        own_alertmanager(cluster, "shop", "service/am:grpc")
    with pytest.raises(ApiError, match="404"):
        own_prometheus(cluster, "shop", "service/other")

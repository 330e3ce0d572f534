"""Where a target is dialled, by the kind of its object and by what the cluster reports about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import GATEWAYS, HTTP_ROUTES, SERVICES
from harness.cluster.protocol import Capability
from harness.common.clock import FakeClock
from harness.common.errors import CapabilityMissing, ClusterRefused, Inconclusive
from harness.engine.steps.reach import Finder, Reach, described, outside, reach
from harness.safety.guard.hosts import Host
from harness.traffic.target.declaration import Target
from harness.traffic.target.endpoint import Access, Endpoint

INSIDE = Endpoint("shop.ns.svc", 80)


def service(kind: str, *, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "grpc", "port": 9000, "nodePort": 30090}]
    if kind == "ClusterIP":
        ports = [{key: port[key] for key in ("name", "port")} for port in ports]
    found: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}}
    return {**found, "spec": {"type": kind, "ports": ports, **spec}, "status": status or {}}


def seeded(*objects: dict[str, Any], **options: Any) -> FakeCluster:
    cluster = FakeCluster(FakeClock(), **options)
    cluster.server.seed(*objects, namespace="ns")
    return cluster


def found(text: str, *objects: dict[str, Any], **options: Any) -> Reach:
    return reach(seeded(*objects, **options), "ns", Target.model_validate(text))


def test_node_port_is_dialled_from_the_machine() -> None:
    assert found("service/shop", service("NodePort")) == Reach(Endpoint("127.0.0.1", 30080), INSIDE, service="shop")
    named = found("service/shop:grpc", service("NodePort"))
    assert named == Reach(Endpoint("127.0.0.1", 30090), Endpoint("shop.ns.svc", 9000), service="shop")
    assert found("service/shop:9000", service("NodePort")) == named


@pytest.mark.parametrize(
    ("entry", "host"), [({"ip": "198.18.7.7"}, "198.18.7.7"), ({"hostname": "lb.test"}, "lb.test")]
)
def test_load_balancer_is_dialled_by_its_address(entry: dict[str, str], host: str) -> None:
    balanced = service("LoadBalancer", status={"loadBalancer": {"ingress": [entry]}})
    assert found("service/shop:grpc", balanced).dialled() == Endpoint(host, 9000)


def test_load_balancer_without_address_falls_back() -> None:
    without = found("service/shop", service("LoadBalancer"))
    assert without.dialled() == Endpoint("127.0.0.1", 30080)
    assert without.note == "Service shop has no load balancer address, so its nodePort is used"


def test_load_balancer_without_address_and_port_is_missing() -> None:
    bare = service("LoadBalancer", ports=[{"port": 80}])
    with pytest.raises(CapabilityMissing, match="neither a load balancer address nor a nodePort"):
        found("service/shop", bare).dialled()


@pytest.mark.parametrize(
    ("spec", "why"), [({}, "is of type ClusterIP"), ({"clusterIP": "None"}, "is headless")], ids=["plain", "headless"]
)
def test_cluster_ip_is_reached_only_inside(spec: dict[str, str], why: str) -> None:
    inside = found("service/shop:http", service("ClusterIP", **spec))
    assert (inside.from_machine, inside.in_cluster) == (None, INSIDE)
    with pytest.raises(CapabilityMissing, match=f"Service shop {why}, so it can be reached only inside"):
        inside.dialled()


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_pod_of_the_cluster_dials_the_service_itself(kind: str) -> None:
    assert found("service/shop:http", service(kind), inside=True) == Reach(INSIDE, INSIDE, service="shop")


def test_unreachable_nodes_give_the_reason() -> None:
    lost = found("service/shop", service("NodePort"), capabilities=set(Capability) - {Capability.LOAD_BALANCED_SERVICE})
    assert lost == Reach(None, INSIDE, "fake: reach a NodePort Service from the load generator", service="shop")


@pytest.mark.parametrize("text", ["service/shop:web", "service/shop:81"])
def test_missing_port_is_inconclusive(text: str) -> None:
    with pytest.raises(Inconclusive, match="Service shop has no port"):
        found(text, service("NodePort"))


def balanced_after(seconds: float, ownership: Ownership) -> tuple[Reach, float]:
    """What is dialled if the load balancer reports its address after so many seconds, and the time spent waiting."""
    cluster = seeded(service("LoadBalancer"), ownership=ownership)
    clock = FakeClock()

    def meanwhile() -> None:
        if clock.monotonic() - began >= seconds:
            cluster.server.store.remove(SERVICES, "ns", "shop")
            cluster.server.seed(
                service("LoadBalancer", status={"loadBalancer": {"ingress": [{"ip": "198.18.7.7"}]}}), namespace="ns"
            )

    began = clock.monotonic()
    shop = Target(service="shop")
    found = Finder(cluster, "ns", Path(), clock, seconds=60, meanwhile=meanwhile).find(shop)
    return found, clock.monotonic() - began


def test_foreign_load_balancer_is_waited_for() -> None:
    balanced, waited = balanced_after(20, Ownership.FOREIGN)
    assert balanced.dialled() == Endpoint("198.18.7.7", 80)
    assert 20 <= waited < 22


def test_wait_for_a_load_balancer_is_bounded() -> None:
    balanced, waited = balanced_after(1000, Ownership.FOREIGN)
    assert (balanced.dialled().port, bool(balanced.note)) == (30080, True)
    assert 60 <= waited < 62


def test_owned_cluster_has_no_load_balancer_to_wait_for() -> None:
    balanced, waited = balanced_after(1000, Ownership.OWNED)
    assert (balanced.dialled().port, waited) == (30080, 0)


@pytest.mark.parametrize(
    ("spec", "port", "expected"),
    [
        ({"clusterIP": "198.18.96.7"}, {}, Endpoint("198.18.96.7", 80)),
        # Behind a headless Service there is nothing that maps its port to that of the pods.
        ({"clusterIP": "None"}, {"targetPort": 8080}, Endpoint("shop.ns.svc", 8080)),
        ({"clusterIP": "None"}, {"targetPort": "http"}, Endpoint("shop.ns.svc", 80)),
    ],
)
def test_address_inside_is_that_of_the_type(spec: dict[str, Any], port: dict[str, Any], expected: Endpoint) -> None:
    made = service("ClusterIP", **spec)
    made["spec"]["ports"][0] |= port
    assert found("service/shop", made).in_cluster == expected


def ingress(*, address: str = "", tls: bool = False, host: str = "shop.test") -> dict[str, Any]:
    path = {"path": "/cart", "pathType": "Prefix", "backend": {"service": {"name": "shop", "port": {"number": 80}}}}
    spec: dict[str, Any] = {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [path]}}]}
    if tls:
        spec["tls"] = [{"hosts": [host], "secretName": "shop-tls"}]
    entries = [{"ip": address}] if address else []
    metadata = {"name": "shop"}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata,
        "spec": spec,
        "status": {"loadBalancer": {"ingress": entries}},
    }


def equipped(target: object, *objects: dict[str, Any], hosts: Sequence[Host] = (), **options: Any) -> Reach:
    cluster = seeded(*objects, **options)
    finder = Finder(cluster, "ns", Path(), FakeClock(), seconds=60, hosts=hosts)
    return finder.find(Target.model_validate(target))


@pytest.mark.parametrize(
    ("tls", "shown"), [(False, "http://shop.test/cart at {}:80"), (True, "https://shop.test/cart at {}:443")]
)
def test_ingress_is_dialled_at_the_address_of_its_controller(tls: bool, shown: str) -> None:
    found = equipped("ingress/shop", ingress(address="198.18.7.7", tls=tls))
    assert described(Target(ingress="shop"), found, found.dialled()) == f"ingress/shop → {shown.format('198.18.7.7')}"
    access = found.dialled().access
    assert (access.authority, access.prefix, found.service) == ("shop.test", "/cart", "shop")
    assert (access.tls.server_name if access.tls else None) == ("shop.test" if tls else None)
    assert found.in_cluster == found.from_machine


def test_ingress_without_controller_is_inconclusive() -> None:
    with pytest.raises(Inconclusive) as caught:
        equipped("ingress/shop", ingress())
    assert str(caught.value) == (
        "the target cannot be reached after 60 s: Ingress shop has no address: is there a controller for class nginx? "
        "If it reports none, set target.via"
    )


def controller(namespace: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "nodePort": 30080}, {"name": "https", "port": 443, "nodePort": 30443}]
    metadata = {"name": "controller", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": "NodePort", "ports": ports}}


@pytest.mark.parametrize(
    ("via", "tls", "port"),
    [
        ("service/edge/controller", False, 30080),
        ("service/edge/controller", True, 30443),
        ("service/edge/controller:http", True, 30080),
        ("service/controller", False, 30080),
    ],
)
def test_via_dials_the_service_of_the_controller(via: str, tls: bool, port: int) -> None:
    place = "edge" if "edge" in via else "ns"
    found = equipped({"ingress": "shop", "via": via}, ingress(tls=tls), controller(place))
    assert (found.dialled().port, found.dialled().access.authority, found.secure) == (port, "shop.test", tls)
    assert found.in_cluster is not None
    assert found.in_cluster.host == f"controller.{place}.svc"


def gateway_objects(accepted: str) -> list[dict[str, Any]]:
    api = "gateway.networking.k8s.io/v1"
    ref = {"name": "edge", "namespace": "infra"}
    condition = {"type": "Accepted", "status": accepted, "message": "no matching listener"}
    route = {
        "apiVersion": api,
        "kind": "HTTPRoute",
        "metadata": {"name": "shop"},
        "spec": {"parentRefs": [ref], "hostnames": ["shop.test"], "rules": [{"backendRefs": [{"name": "shop"}]}]},
        "status": {"parents": [{"parentRef": ref, "conditions": [condition]}]},
    }
    gateway = {
        "apiVersion": api,
        "kind": "Gateway",
        "metadata": {"name": "edge", "namespace": "infra"},
        "spec": {"listeners": [{"name": "web", "port": 8443, "protocol": "HTTPS"}]},
        "status": {"addresses": [{"value": "198.18.7.7"}]},
    }
    return [route, gateway]


def test_http_route_is_dialled_at_its_gateway() -> None:
    found = equipped("httproute/shop", *gateway_objects("True"), extra=[HTTP_ROUTES, GATEWAYS])
    assert (
        described(Target(http_route="shop"), found, found.dialled())
        == "httproute/shop → https://shop.test/ at 198.18.7.7:8443"
    )


def test_http_route_without_accepted_parent_is_inconclusive() -> None:
    with pytest.raises(Inconclusive, match="HTTPRoute shop has no accepted parent: edge: no matching listener"):
        equipped("httproute/shop", *gateway_objects("False"), extra=[HTTP_ROUTES, GATEWAYS])


def test_missing_object_is_inconclusive() -> None:
    with pytest.raises(Inconclusive, match="Ingress shop does not exist in namespace ns"):
        equipped("ingress/shop", service("NodePort"))


def test_url_is_dialled_at_its_first_checked_address() -> None:
    found = outside(
        Target(url="https://shop.test:8443/api/"), [Host(name="shop.test")], lambda _: ["10.0.0.7", "10.0.0.8"]
    )
    assert (found.outside, found.in_cluster, found.host) == (True, None, "shop.test")
    assert found.dialled() == Endpoint("10.0.0.7", 8443, Access(authority="shop.test:8443", prefix="/api"))
    local = equipped("http://127.0.0.1:8080", hosts=[Host(name="127.0.0.1")])
    assert described(Target(url="http://127.0.0.1:8080"), local, local.dialled()) == (
        "http://127.0.0.1:8080 → http://127.0.0.1:8080/ at 127.0.0.1:8080"
    )


def test_url_that_the_guard_does_not_list_is_refused() -> None:
    for hosts in ([], [Host(name="other.test")]):
        with pytest.raises(ClusterRefused, match="is not on the guard's list of hosts"):
            outside(Target(url="https://shop.test/"), hosts, lambda _: ["10.0.0.7"])
    with pytest.raises(ClusterRefused, match="which is not a private address"):
        outside(Target(url="https://shop.test/"), [Host(name="shop.test")], lambda _: ["8.8.8.8"])


def test_missing_verification_is_shown() -> None:
    found = equipped({"service": "shop", "tls": {"insecure": True}}, service("NodePort"))
    shown = described(Target(service="shop"), found, found.dialled())
    assert shown.endswith("at 127.0.0.1:30080; the server's certificate is not verified")

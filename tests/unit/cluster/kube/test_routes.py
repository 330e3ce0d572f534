"""What an Ingress, an HTTPRoute and its Gateway mean for a client."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.routes import (
    Listener,
    Parent,
    Route,
    accepted_parent,
    http_route,
    ingress_route,
    listener_of,
)


def ingress(*rules: dict[str, Any], tls: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    spec = {"rules": list(rules), "tls": tls or []}
    return {"kind": "Ingress", "metadata": {"name": "shop"}, "spec": spec}


def rule(host: str = "", *paths: str, kind: str = "Prefix") -> dict[str, Any]:
    backends = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": f"svc{number}", "port": {"number": 80}}}}
        for number, path in enumerate(paths or ("/",))
    ]
    return {**({"host": host} if host else {}), "http": {"paths": backends}}


def test_first_rule_gives_host_and_path() -> None:
    assert ingress_route(ingress(rule("shop.test", "/cart/"), rule("b.test"))) == Route("shop.test", "/cart", "svc0")
    assert ingress_route(ingress(rule())) == Route("", "", "svc0")


@pytest.mark.parametrize(
    ("entries", "secure"),
    [
        ([{"hosts": ["shop.test"]}], True),
        ([{"hosts": ["*.test"]}], True),
        ([{}], True),
        ([{"hosts": ["b.test"]}], False),
    ],
)
def test_tls_depends_on_the_host(entries: list[dict[str, Any]], secure: bool) -> None:
    assert ingress_route(ingress(rule("shop.test"), tls=entries)).secure is secure


def test_host_and_path_choose_the_rule() -> None:
    found = ingress(rule("a.test"), rule("*.b.test", "/", "/api"))
    assert ingress_route(found, "x.b.test", "/api/v1") == Route("x.b.test", "/api/v1", "svc1")
    assert ingress_route(found, "x.b.test", "/apis") == Route("x.b.test", "/apis", "svc0")


@pytest.mark.parametrize(
    ("item", "host", "path", "told"),
    [
        (ingress(rule("a.test")), "b.test", "", "found the host b.test, expected one of Ingress shop: a.test"),
        (ingress(rule("*.a.test")), "a.test", "", "found the host a.test"),
        (ingress(rule("*.a.test")), "", "", r"has the host \*.a.test, expected host: one of them"),
        (ingress(rule("", "/a")), "", "/ab", "found the path /ab, expected one of Ingress shop: /a"),
        (ingress(rule("", "/a", kind="Exact")), "", "/a/b", "found the path /a/b"),
        (ingress(rule("", "/a(/|$)(.*)")), "", "", "expected path: a path that it matches"),
        (ingress(), "", "", "Ingress shop has no rules"),
        (ingress({"host": "a.test"}), "", "", "has a rule without paths"),
    ],
)
def test_rule_that_leaves_something_open_is_refused(item: dict[str, Any], host: str, path: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        ingress_route(item, host, path)


def test_regular_expression_may_match_a_given_path() -> None:
    assert ingress_route(ingress(rule("", "/a(/|$)(.*)")), "", "/a/b").prefix == "/a/b"


def test_default_backend_is_a_rule_for_any_host() -> None:
    item = ingress()
    item["spec"]["defaultBackend"] = {"service": {"name": "shop"}}
    assert ingress_route(item, "any.test") == Route("any.test", "", "shop")


def gateway_route(*statuses: dict[str, Any]) -> dict[str, Any]:
    match = {"path": {"type": "PathPrefix", "value": "/cart"}}
    spec = {
        "parentRefs": [{"name": "edge", "namespace": "infra", "sectionName": "web"}],
        "hostnames": ["shop.test"],
        "rules": [{"matches": [match], "backendRefs": [{"name": "shop", "port": 80}]}],
    }
    metadata = {"name": "shop", "namespace": "ns"}
    return {"kind": "HTTPRoute", "metadata": metadata, "spec": spec, "status": {"parents": list(statuses)}}


def status(accepted: str, message: str = "") -> dict[str, Any]:
    ref = {"name": "edge", "namespace": "infra", "sectionName": "web"}
    return {"parentRef": ref, "conditions": [{"type": "Accepted", "status": accepted, "message": message}]}


def test_http_route_gives_host_path_and_gateway() -> None:
    assert http_route(gateway_route()) == Route("shop.test", "/cart", "shop")
    assert accepted_parent(gateway_route(status("False", "no"), status("True"))) == Parent("infra", "edge", "web", None)


def test_route_without_accepted_parent_gives_the_reason() -> None:
    assert accepted_parent(gateway_route()) == "no controller has accepted it (its Gateways: infra/edge)"
    assert accepted_parent(gateway_route(status("False", "no matching listener"))) == "edge: no matching listener"


def gateway(**fields: Any) -> dict[str, Any]:
    listeners = [
        {"name": "web", "port": 80, "protocol": "HTTP"},
        {"name": "secure", "port": 8443, "protocol": "HTTPS", "hostname": "*.test"},
        {"name": "raw", "port": 9, "protocol": "TCP"},
    ]
    return {"spec": {"listeners": listeners}, "status": {"addresses": [{"value": "198.18.7.7"}]}, **fields}


@pytest.mark.parametrize(
    ("section", "host", "secure", "found"),
    [
        ("", "shop.test", False, Listener("198.18.7.7", 80, secure=False)),
        ("", "shop.test", True, Listener("198.18.7.7", 8443, secure=True)),
        ("secure", "shop.test", False, Listener("198.18.7.7", 8443, secure=True)),
        ("secure", "shop.example", False, "Gateway infra/edge has no listener for shop.example"),
        ("raw", "", False, "Gateway infra/edge has no listener for the route"),
    ],
)
def test_listener_is_chosen_by_section_and_host(section: str, host: str, secure: bool, found: object) -> None:
    assert listener_of(gateway(), Parent("infra", "edge", section, None), host, secure=secure) == found


def test_gateway_without_address_gives_the_reason() -> None:
    bare = gateway(status={})
    assert listener_of(bare, Parent("infra", "edge", "", None), "", secure=False) == "Gateway infra/edge has no address"

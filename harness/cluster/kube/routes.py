"""Reads what an Ingress, an HTTPRoute and its Gateway mean for a client: host, path, TLS and address."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.services import balancer_address

# What a client can send as it is: the path of a rule may also be a regular expression of its controller.
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._~%!$&'+,;=:@-]*")
_ENCRYPTED = frozenset({"HTTPS", "TLS"})


@dataclass(frozen=True, slots=True)
class Route:
    """How a request reaches a Service through an Ingress or an HTTPRoute. ``prefix`` goes before every path."""

    host: str
    prefix: str
    service: str
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Parent:
    """The Gateway of an HTTPRoute, and its listener if one is named."""

    namespace: str
    name: str
    section: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Listener:
    """Where a Gateway listens."""

    address: str
    port: int
    secure: bool


def ingress_route(ingress: Object, host: str = "", path: str = "") -> Route:
    """Return the route of an Ingress: for the host and path that are given, or of its first rule.

    Raises ValueError if no rule matches, or if the rule leaves the host or the path open.
    """
    spec, name = ingress.get("spec") or {}, f"Ingress {ingress['metadata']['name']}"
    rules = [{"host": rule.get("host") or "", **(rule.get("http") or {})} for rule in spec.get("rules") or []]
    if spec.get("defaultBackend"):
        rules.append({"host": "", "paths": [{"path": "/", "backend": spec["defaultBackend"]}]})
    rule, chosen = _rule(rules, host, name)
    entries = [
        (str(entry.get("path") or "/"), entry.get("pathType") == "Exact", _backend(entry.get("backend") or {}))
        for entry in rule.get("paths") or []
    ]
    prefix, service = _path(entries, path, name)
    certified = [entry.get("hosts") or [] for entry in spec.get("tls") or []]
    secure = any(not hosts or any(_covers(one, chosen) for one in hosts) for hosts in certified)
    return Route(chosen, prefix, service, secure)


def http_route(route: Object, host: str = "", path: str = "") -> Route:
    """Return the route of an HTTPRoute, as ``ingress_route`` does. Whether it has TLS is up to its Gateway."""
    spec, name = route.get("spec") or {}, f"HTTPRoute {route['metadata']['name']}"
    rules = [{"host": one} for one in spec.get("hostnames") or [""]]
    _, chosen = _rule(rules, host, name)
    entries = []
    for rule in spec.get("rules") or [{}]:
        backend = next((str(one.get("name", "")) for one in rule.get("backendRefs") or []), "")
        for match in rule.get("matches") or [{}]:
            found = match.get("path") or {}
            entries.append((str(found.get("value") or "/"), found.get("type") == "Exact", backend))
    prefix, service = _path(entries, path, name)
    return Route(chosen, prefix, service)


def ingress_address(ingress: Object) -> str:
    """Return the address that a controller has reported for an Ingress, or an empty text."""
    return balancer_address(ingress)


def parents(route: Object) -> list[Parent]:
    """Return the Gateways that an HTTPRoute names."""
    return [_parent(one, route) for one in (route.get("spec") or {}).get("parentRefs") or [] if _is_gateway(one)]


def accepted_parent(route: Object) -> Parent | str:
    """Return the Gateway that has accepted an HTTPRoute, or why there is none."""
    reported = (route.get("status") or {}).get("parents") or []
    refused = []
    for status in reported:
        ref = status.get("parentRef") or {}
        conditions: list[Object] = status.get("conditions") or []
        found = next((one for one in conditions if one.get("type") == "Accepted"), {})
        if found.get("status") == "True" and _is_gateway(ref):
            return _parent(ref, route)
        if found:
            refused.append(f"{ref.get('name')}: {found.get('message') or found.get('reason') or 'not accepted'}")
    named = ", ".join(f"{one.namespace}/{one.name}" for one in parents(route)) or "none"
    return "; ".join(refused) or f"no controller has accepted it (its Gateways: {named})"


def listener_of(gateway: Object, parent: Parent, host: str, *, secure: bool) -> Listener | str:
    """Return where a Gateway listens for a host, or why nowhere; ``secure`` prefers a listener with TLS."""
    addresses = (gateway.get("status") or {}).get("addresses") or []
    address = next((str(one["value"]) for one in addresses if one.get("value")), "")
    if not address:
        return f"Gateway {parent.namespace}/{parent.name} has no address"
    found = [one for one in (gateway.get("spec") or {}).get("listeners") or [] if _listens(one, parent, host)]
    if secure:
        found.sort(key=lambda one: one.get("protocol") not in _ENCRYPTED)
    if not found:
        return f"Gateway {parent.namespace}/{parent.name} has no listener for {host or 'the route'}"
    return Listener(address, int(found[0]["port"]), found[0].get("protocol") in _ENCRYPTED)


def _listens(listener: Mapping[str, Any], parent: Parent, host: str) -> bool:
    named = not parent.section or listener.get("name") == parent.section
    ported = parent.port is None or listener.get("port") == parent.port
    hosted = not listener.get("hostname") or not host or _covers(str(listener["hostname"]), host)
    return named and ported and hosted and listener.get("protocol") in {"HTTP", "HTTPS"}


def _is_gateway(ref: Mapping[str, Any]) -> bool:
    return str(ref.get("kind") or "Gateway") == "Gateway"


def _parent(ref: Mapping[str, Any], route: Object) -> Parent:
    namespace = str(ref.get("namespace") or route["metadata"].get("namespace") or "")
    return Parent(namespace, str(ref.get("name")), str(ref.get("sectionName") or ""), ref.get("port"))


def _backend(backend: Mapping[str, Any]) -> str:
    return str((backend.get("service") or {}).get("name") or "")


def _rule(rules: Sequence[Mapping[str, Any]], host: str, name: str) -> tuple[Mapping[str, Any], str]:
    """Return the rule for a host (empty: the first rule), and the host to send."""
    if not rules:
        raise ValueError(f"{name} has no rules, so no request reaches a Service")
    hosts = ", ".join(str(rule["host"]) or "any" for rule in rules)
    if not host:
        first = str(rules[0]["host"])
        if "*" in first:
            raise ValueError(f"{name} has the host {first}, expected host: one of them")
        return rules[0], first
    found = next((rule for rule in rules if not rule["host"] or _covers(str(rule["host"]), host)), None)
    if found is None:
        raise ValueError(f"found the host {host}, expected one of {name}: {hosts}")
    return found, host


def _path(entries: Sequence[tuple[str, bool, str]], path: str, name: str) -> tuple[str, str]:
    """Return the prefix for all requests, and the Service behind it; ``path`` is the one that is given, if any."""
    if not entries:
        raise ValueError(f"{name} has a rule without paths, so no request reaches a Service")
    if path:
        matching = [entry for entry in entries if _matches(entry[0], path, exact=entry[1])]
        if not matching:
            raise ValueError(
                f"found the path {path}, expected one of {name}: {', '.join(one for one, _, _ in entries)}"
            )
        return path.rstrip("/"), max(matching, key=lambda entry: len(entry[0]))[2]
    first, _, service = entries[0]
    if not _PLAIN_PATH.fullmatch(first):
        raise ValueError(f"{name} has the path {first}, expected path: a path that it matches")
    return first.rstrip("/"), service


def _matches(rule: str, path: str, *, exact: bool) -> bool:
    if not _PLAIN_PATH.fullmatch(rule):
        # A regular expression of the controller: only a request shows whether it matches.
        return True
    return path == rule if exact else f"{path.rstrip('/')}/".startswith(f"{rule.rstrip('/')}/")


def _covers(pattern: str, host: str) -> bool:
    """Return whether a host of a rule, such as shop.test or *.test, covers a host."""
    if not pattern.startswith("*."):
        return pattern == host
    return host.endswith(pattern[1:]) and len(host) >= len(pattern)

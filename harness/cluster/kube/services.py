"""Reads what the types and ports of Services mean for dialling them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import SERVICES
from harness.common.errors import Inconclusive

NODE_PORT, LOAD_BALANCER = "NodePort", "LoadBalancer"

# For reading a Service's type, ports and addresses.
PERMISSIONS = allow(SERVICES, "get")


def node_port(api: KubeApi, service: str, namespace: str, wanted: str = "") -> int:
    """Return the nodePort of a Service's port, given by name or number; empty means the first.

    Raises Inconclusive if there is none, and ApiError.
    """
    found = node_port_of(api.get(SERVICES, service, namespace), wanted)
    if found is None:
        raise Inconclusive(f"Service {service} has no nodePort {wanted}".rstrip())
    return found


def node_port_of(service: Mapping[str, Any], wanted: str = "") -> int | None:
    """Return the nodePort of a port, given by name or number (empty: the first that has one), or None."""
    given = (port for port in _ports(service, wanted) if port.get("nodePort"))
    return next((int(port["nodePort"]) for port in given), None)


def port_of(service: Mapping[str, Any], wanted: str = "") -> int | None:
    """Return the number of a Service's port, given by name or number (empty: the first), or None."""
    return next((int(port["port"]) for port in _ports(service, wanted)), None)


def address_inside(service: Mapping[str, Any], wanted: str = "") -> tuple[str, int] | None:
    """Return the host and port of a Service inside its cluster, or None if it has no such port.

    The host is the cluster's IP address for it; for a headless Service its DNS name, since its addresses are those of
    the pods, and the port is the pods' port if that is a number.
    """
    number, spec, metadata = port_of(service, wanted), service.get("spec") or {}, service["metadata"]
    if number is None:
        return None
    # A name would be looked up for each connection, several times because of the pod's search domains.
    if spec.get("clusterIP") not in {None, "", "None"}:
        return str(spec["clusterIP"]), number
    targets = (port.get("targetPort") for port in _ports(service, wanted))
    target = next(targets, None) if spec.get("clusterIP") == "None" else None
    return f"{metadata['name']}.{metadata['namespace']}.svc", target if isinstance(target, int) else number


def ports_of(service: Mapping[str, Any]) -> list[str]:
    """Return the names and numbers of a Service's ports."""
    ports = (service.get("spec") or {}).get("ports") or []
    return [str(port[key]) for port in ports for key in ("name", "port") if key in port]


def only_inside(service: Mapping[str, Any]) -> str:
    """Return why a Service can be reached only inside its cluster, or an empty text."""
    spec = service.get("spec") or {}
    if spec.get("type") in {NODE_PORT, LOAD_BALANCER}:
        return ""
    kind = "headless" if spec.get("clusterIP") == "None" else f"of type {spec.get('type') or 'ClusterIP'}"
    return f"Service {service['metadata']['name']} is {kind}, so it can be reached only inside the cluster"


def balancer_address(service: Mapping[str, Any]) -> str:
    """Return the address that a load balancer has reported for a Service: an IP, else a host name, else empty."""
    entries = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return next((str(entry.get("ip") or entry.get("hostname")) for entry in entries if entry), "")


def _ports(service: Mapping[str, Any], wanted: str) -> list[Mapping[str, Any]]:
    ports = (service.get("spec") or {}).get("ports") or []
    return [port for port in ports if wanted in {"", str(port.get("name")), str(port["port"])}]

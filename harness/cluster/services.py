"""Services as those who dial them need them."""

from __future__ import annotations

from harness.cluster.api import KubeApi
from harness.cluster.permissions import allow
from harness.cluster.resources import SERVICES
from harness.errors import Inconclusive

# For looking where a Service can be dialled.
PERMISSIONS = allow(SERVICES, "get")


def node_port(api: KubeApi, service: str, namespace: str, wanted: str = "") -> int:
    """The nodePort of a Service's port, by its name or number; empty means the first. Raises Inconclusive, ApiError."""
    for port in api.get(SERVICES, service, namespace)["spec"]["ports"]:
        if wanted in {"", str(port.get("name")), str(port["port"])} and port.get("nodePort"):
            return int(port["nodePort"])
    raise Inconclusive(f"Service {service} has no nodePort {wanted}".rstrip())

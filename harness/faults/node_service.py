"""Stops a service of nodes: kubelet (the cluster misses the node) or containerd (no container can be started on it).

Running pods continue without either. Undone by starting the service again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.nodes.control import NodeControl, Service
from harness.cluster.protocol import Capability
from harness.common.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodeService(NodeFault):
    """Stop a service of nodes."""

    kind: ClassVar[str] = "nodeService"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo", "service": "containerd", "count": "all"}
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.NODE_SERVICES})
    undoing: ClassVar[str] = "start the stopped service on"

    service: Service = Field(description="the service to stop: kubelet or containerd")

    @property
    def silences(self) -> bool:
        # Without containerd the kubelet still renews the node's Lease, so only the machine itself shows that effect.
        return self.service == "kubelet"

    def own_parameters(self) -> dict[str, Any]:
        return {"service": self.service}

    def hit(self, nodes: NodeControl, node: str) -> None:
        nodes.stop_service(node, self.service)

    def is_hit(self, nodes: NodeControl, node: str) -> tuple[bool, str]:
        active = nodes.is_active(node, self.service)
        return not active, f"runs {'' if active else 'no '}{self.service}"

    @classmethod
    def restore(cls, nodes: NodeControl, parameters: Mapping[str, Any]) -> str:
        node, service = parameters["node"], parameters["service"]
        if nodes.power(node) == "stopped":
            return f"node {node} is switched off; {service} starts with it"
        if not nodes.is_active(node, service):
            nodes.start_service(node, service)
        if not nodes.is_active(node, service):
            raise ClusterBroken(f"its {service} does not run although it was started")
        return f"node {node} runs {service}"

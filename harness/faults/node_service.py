"""Stops a service of nodes: kubelet, without which the cluster misses the node, or containerd, without which nothing
can be started on it. Pods go on without either. Undone by starting it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.nodes import NodeControl, Service
from harness.cluster.protocol import Capability
from harness.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodeService(NodeFault):
    """Stop a service of nodes."""

    kind: ClassVar[str] = "nodeService"
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.NODE_SERVICES})
    undoing: ClassVar[str] = "start what was stopped on"

    service: Service = Field(description="kubelet or containerd")

    @property
    def silences(self) -> bool:
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
            raise ClusterBroken(f"its {service} does not run")
        return f"node {node} runs {service}"

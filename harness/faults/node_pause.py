"""Freezes nodes: no process on them runs, pods included, and no state is lost.

Their kernels still accept connections, but no process answers: clients run into their timeouts instead of getting an
error. Undone by resuming the nodes; by then the cluster may have moved their pods elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.nodes.control import NodeControl
from harness.common.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodePause(NodeFault):
    """Freeze nodes."""

    kind: ClassVar[str] = "nodePause"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo", "zone": "zone-a"}
    undoing: ClassVar[str] = "resume"

    def hit(self, nodes: NodeControl, node: str) -> None:
        nodes.pause(node)

    def is_hit(self, nodes: NodeControl, node: str) -> tuple[bool, str]:
        state = nodes.power(node)
        return state == "paused", f"is {state}"

    @classmethod
    def restore(cls, nodes: NodeControl, parameters: Mapping[str, Any]) -> str:
        node = parameters["node"]
        if nodes.power(node) == "paused":
            nodes.resume(node)
        state = nodes.power(node)
        if state == "paused":
            raise ClusterBroken("it is still frozen")
        return f"node {node} is {state}"

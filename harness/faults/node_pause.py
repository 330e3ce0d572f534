"""Freezes nodes: no process on them runs, pods included, and nothing is lost.

Their kernels live on, so connections are still accepted, and nobody answers: the hardest way for a node to be gone.
Undone by letting them go on; what they find then is a cluster that has written them off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.nodes import NodeControl
from harness.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodePause(NodeFault):
    """Freeze nodes."""

    kind: ClassVar[str] = "nodePause"
    undoing: ClassVar[str] = "let go on"

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

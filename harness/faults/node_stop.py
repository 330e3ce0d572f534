"""Switches nodes off: their power is taken away, or they are shut down in order.

What ran on them is gone, and its memory with it; what they had on disk is there when they are switched on again, which
is how it is undone. A node that comes back starts the pods that are still bound to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.cluster.nodes import NodeControl
from harness.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodeStop(NodeFault):
    """Switch nodes off."""

    kind: ClassVar[str] = "nodeStop"
    undoing: ClassVar[str] = "switch on"

    mode: Literal["kill", "shutdown"] = Field(
        "kill", description="kill takes the power away; shutdown lets what runs on the node end first"
    )

    def hit(self, nodes: NodeControl, node: str) -> None:
        if self.mode == "kill":
            nodes.kill(node)
        else:
            nodes.stop(node)

    def is_hit(self, nodes: NodeControl, node: str) -> tuple[bool, str]:
        state = nodes.power(node)
        return state == "stopped", f"is {state}"

    @classmethod
    def restore(cls, nodes: NodeControl, parameters: Mapping[str, Any]) -> str:
        node = parameters["node"]
        if nodes.power(node) == "stopped":
            nodes.start(node)
        state = nodes.power(node)
        if state == "stopped":
            raise ClusterBroken("it is still switched off")
        return f"node {node} is {state}"

"""Switches nodes off, by cutting their power or by an orderly shutdown.

Their processes and memory are lost; their disks are kept. Undone by switching them on again. A node that returns
restarts the pods that are still bound to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.cluster.nodes.control import NodeControl
from harness.common.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodeStop(NodeFault):
    """Switch nodes off."""

    kind: ClassVar[str] = "nodeStop"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo", "selector": "kubernetes.io/hostname=node-1"}
    undoing: ClassVar[str] = "switch on"

    mode: Literal["kill", "shutdown"] = Field(
        default="kill", description="kill cuts the power; shutdown lets the processes on the node end first"
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

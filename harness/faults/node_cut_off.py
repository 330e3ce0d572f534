"""Cuts nodes off the network: every packet to or from them, pods included, is dropped without an answer.

Processes on the nodes continue to run. Undone by removing the firewall rules; addresses and routes are not changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.nodes.control import NodeControl
from harness.cluster.protocol import Capability
from harness.common.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodeCutOff(NodeFault):
    """Cut nodes off the network."""

    kind: ClassVar[str] = "nodeCutOff"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo"}
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.NODE_NETWORK})
    undoing: ClassVar[str] = "reconnect"

    def hit(self, nodes: NodeControl, node: str) -> None:
        nodes.cut_off(node)

    def is_hit(self, nodes: NodeControl, node: str) -> tuple[bool, str]:
        cut = nodes.is_cut_off(node)
        return cut, "is cut off" if cut else "is connected"

    @classmethod
    def restore(cls, nodes: NodeControl, parameters: Mapping[str, Any]) -> str:
        node = parameters["node"]
        if nodes.power(node) == "stopped":
            return f"node {node} is switched off, which removed the rules that cut it off"
        if nodes.is_cut_off(node):
            nodes.reconnect(node)
        # Verified: an undo whose command succeeded without effect must not be marked as done.
        if nodes.is_cut_off(node):
            raise ClusterBroken("it is still cut off")
        return f"node {node} is connected"

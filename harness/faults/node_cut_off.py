"""Cuts nodes off: nothing gets in or out, pods included, and nobody is told; what was sent is lost.

What runs on them goes on, and does not know that the cluster has written it off. Undone by letting everything through
again; addresses and routes were there all the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.nodes import NodeControl
from harness.cluster.protocol import Capability
from harness.errors import ClusterBroken
from harness.faults.node_fault import NodeFault


class NodeCutOff(NodeFault):
    """Cut nodes off the network."""

    kind: ClassVar[str] = "nodeCutOff"
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
            return f"node {node} is switched off, and the rules that cut it off went with its power"
        if nodes.is_cut_off(node):
            nodes.reconnect(node)
        if nodes.is_cut_off(node):
            raise ClusterBroken("it is still cut off")
        return f"node {node} is connected"

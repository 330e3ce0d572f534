"""What cordoning and draining nodes have in common: both make nodes unschedulable. Not a kind of fault.

A cordon changes the scheduling of every namespace, so experiments must set ``disruptive: true``. It works on any
cluster: only the Node object is changed. Nodes that are cordoned already are no candidates, since undoing would revert
what another person or program has done; an annotation on the node marks the cordons of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import NODES
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, Inconclusive, NotYet
from harness.faults.base import Fault, FaultContext
from harness.faults.node_targets import NodeTarget
from harness.model.timeline import Victim
from harness.safety.guard.blast import Strike

MARK = "resilience.harness/cordoned-for"
# The node lifecycle controller adds it to unschedulable nodes, and removes it a moment after they are schedulable.
TAINT = "node.kubernetes.io/unschedulable"
# A kubelet reports its node's status every ten seconds or less often, which changes the resource version.
_TRIES = 5


class Cordoning(NodeTarget, Fault):
    """Chooses nodes, makes them unschedulable, and undoes it."""

    disruptive: ClassVar[bool] = True
    wanted: ClassVar[str] = "Ready, schedulable workers"
    hits_all_pods: ClassVar[bool] = False

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(NODES, "get", "patch", place="cluster")

    def strike(self, victims: tuple[Victim, ...]) -> Strike:
        # The pods that are evicted, if any, are victims of their own.
        return replace(super().strike(victims), spares_pods_of_nodes=True)

    def is_candidate(self, node: Object) -> bool:
        return super().is_candidate(node) and not is_cordoned(node)

    def choose_victims(self, context: FaultContext) -> tuple[Victim, ...]:
        """Return the nodes as victims. Raises Inconclusive, ClusterRefused."""
        nodes = self.choose_nodes(context.cluster, context.namespace, context.rng)
        return tuple(Victim("Node", node["metadata"]["name"], node["metadata"]["uid"]) for node in nodes)

    def cordon(self, context: FaultContext, nodes: list[Victim], also: str = "") -> None:
        """Journal the undo of all nodes, with a note, then cordon them. Raises Inconclusive."""
        for victim in nodes:
            _find(context, victim)
        for victim in nodes:
            parameters = {"node": victim.name, "uid": victim.uid, "mark": context.namespace}
            context.journal.write(self.kind, f"uncordon {victim.name}{also}", parameters)
        for victim in nodes:
            _cordon(context, victim)

    def cordoned(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        """Return whether a node is cordoned by this run, and its state in a few words."""
        found = context.api.find(NODES, victim.name)
        if found is None or found["metadata"]["uid"] != victim.uid:
            return False, f"{victim.name} left the cluster"
        if not is_cordoned(found) or _mark(found) != context.namespace:
            return False, f"{victim.name} is not cordoned by this run"
        return True, f"{victim.name} is cordoned"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        node, mark = parameters["node"], parameters["mark"]
        found = cluster.api.find(NODES, node)
        if found is None or found["metadata"]["uid"] != parameters["uid"]:
            return f"node {node} left the cluster"
        if _mark(found) == mark:
            found = _patch(cluster, found, {"annotations": {MARK: None}}, None)
            if found is None:
                raise NotYet(f"node {node} was changed by another client")
        if is_cordoned(found):
            return f"node {node} is cordoned, but not by this run"
        if any(taint.get("key") == TAINT for taint in (found.get("spec") or {}).get("taints") or ()):
            raise NotYet(f"node {node} still has the taint {TAINT}")
        return f"node {node} is schedulable"


def is_cordoned(node: Object) -> bool:
    """Return whether a node takes no new pods."""
    return bool((node.get("spec") or {}).get("unschedulable"))


def _mark(node: Object) -> str:
    return str((node["metadata"].get("annotations") or {}).get(MARK, ""))


def _find(context: FaultContext, victim: Victim) -> Object:
    found = context.api.find(NODES, victim.name)
    if found is None or found["metadata"]["uid"] != victim.uid:
        raise Inconclusive(f"node {victim.name} left the cluster before it could be cordoned")
    return found


def _cordon(context: FaultContext, victim: Victim) -> None:
    for _ in range(_TRIES):
        found = _find(context, victim)
        if is_cordoned(found):
            raise Inconclusive(f"node {victim.name} was cordoned meanwhile, not by this fault")
        if _patch(context.cluster, found, {"annotations": {MARK: context.namespace}}, True) is not None:
            return
    raise Inconclusive(f"node {victim.name} could not be cordoned: other clients changed it {_TRIES} times")


def _patch(cluster: Cluster, node: Object, metadata: Object, unschedulable: bool | None) -> Object | None:
    """Patch a node as it was read; None if it has changed since."""
    version = {"resourceVersion": node["metadata"]["resourceVersion"]}
    patch = {"metadata": {**metadata, **version}, "spec": {"unschedulable": unschedulable}}
    try:
        return cluster.api.patch(NODES, node["metadata"]["name"], patch)
    except ApiError as error:
        if error.status != 409:
            raise
        return None

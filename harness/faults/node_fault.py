"""What faults that hit whole nodes have in common. Not a kind of fault.

They hit everything on the node, including pods of other namespaces, so their experiments must set ``disruptive: true``.
Evidence has two parts: the state of the machine below the node, and the API server's view of the node. The Ready
condition changes only after ``--node-monitor-grace-period``, so a Lease that is no longer renewed counts as well.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PrivateAttr

from harness.cluster.kube.conditions import holds
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import LEASES, NODES
from harness.cluster.nodes.control import NodeControl
from harness.cluster.protocol import Capability, Cluster
from harness.common.errors import ClusterBroken, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.node_targets import NodeTarget
from harness.faults.targets import ZONE
from harness.model.timeline import Victim

LEASE_NAMESPACE = "kube-node-lease"
# A kubelet renews its Lease four times within its duration, with some jitter. After this share of the duration without
# a renewal, at least one was missed.
_MISSED = 0.3
# Kubernetes' default for leaseDurationSeconds.
_DURATION = 40


class NodeFault(NodeTarget, Fault):
    """Chooses nodes, journals what is done to each, and shows that the cluster misses them."""

    effect: ClassVar[Effect] = Effect.MACHINES
    disruptive: ClassVar[bool] = True
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.NODE_POWER})
    # The verb of the undo in the journal, before the node's name.
    undoing: ClassVar[str]

    # The last renewal of each node's Lease, and when evidence first saw it, in monotonic seconds of this machine. The
    # time in the Lease itself comes from the node's clock, which may be wrong.
    _renewals: dict[str, tuple[str, float]] = PrivateAttr(default_factory=dict)

    @property
    def permissions(self) -> frozenset[Permission]:
        leases = allow(LEASES, "list", place="cluster") if self.silences else frozenset()
        return self.target_permissions | allow(NODES, "get", place="cluster") | leases

    @property
    def silences(self) -> bool:
        """Whether the node's kubelet can no longer reach the API server."""
        return True

    @abstractmethod
    def hit(self, nodes: NodeControl, node: str) -> None:
        """Inject the fault into the machine. Raises ClusterBroken."""

    @abstractmethod
    def is_hit(self, nodes: NodeControl, node: str) -> tuple[bool, str]:
        """Return whether the fault is present on the machine now, and the machine's state in a few words."""

    @classmethod
    @abstractmethod
    def restore(cls, nodes: NodeControl, parameters: Mapping[str, Any]) -> str:
        """Undo the fault if present, verify that it is gone, and return the node's state. Raises ClusterBroken."""

    def own_parameters(self) -> dict[str, Any]:
        """Return what ``restore`` needs in addition to the node."""
        return {}

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        nodes = self.choose_nodes(context.cluster, context.namespace, context.rng)
        # Raises CapabilityMissing before anything is changed.
        context.cluster.nodes()
        return tuple(
            Victim("Node", node["metadata"]["name"], node["metadata"]["uid"], _where(node["metadata"].get("labels")))
            for node in nodes
        )

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found = context.api.find(NODES, victim.name)
            if found is None or found["metadata"]["uid"] != victim.uid:
                raise Inconclusive(f"node {victim.name} left the cluster before it could be hit")
        # All entries are written first, so that no journal write delays the hit on the next node.
        for victim in victims:
            parameters = {"node": victim.name, "uid": victim.uid, **self.own_parameters()}
            context.journal.write(self.kind, f"{self.undoing} {victim.name}", parameters)
        nodes = context.cluster.nodes()
        for victim in victims:
            try:
                self.hit(nodes, victim.name)
            except ClusterBroken as error:
                raise Inconclusive(f"node {victim.name} could not be hit: {error}") from error

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(f"{victim.name} {text}" for victim, (_, text) in zip(victims, outcomes, strict=True))
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        try:
            hit, state = self.is_hit(context.cluster.nodes(), victim.name)
        except ClusterBroken as error:
            return False, f"could not be examined: {error}"
        found = context.api.find(NODES, victim.name)
        if found is None or found["metadata"]["uid"] != victim.uid:
            return False, f"{state}, but it is no longer the same node"
        ready = holds(found, "Ready")
        text = f"{state}, {'still' if ready else 'no longer'} Ready"
        if not hit or not self.silences:
            return hit, text
        missed, silence = self._missed(context, victim.name)
        return missed or not ready, f"{text}, {silence}"

    def _missed(self, context: FaultContext, node: str) -> tuple[bool, str]:
        leases = [item for item in context.api.list(LEASES).items if _is_of(item, node)]
        if not leases:
            return False, "without a Lease whose renewals could be missed"
        spec, now = leases[0].get("spec", {}), context.clock.monotonic()
        renewed = str(spec.get("renewTime"))
        if self._renewals.get(node, ("", now))[0] != renewed:
            self._renewals[node] = (renewed, now)
        silent = now - self._renewals[node][1]
        missed = silent > _MISSED * float(spec.get("leaseDurationSeconds") or _DURATION)
        return missed, f"its Lease not renewed for {silent:.0f} s"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        try:
            return cls.restore(cluster.nodes(), parameters)
        except ClusterBroken as error:
            # Another process may hold the cluster's lock, or the container runtime may be busy: a retry may succeed.
            raise NotYet(f"node {parameters['node']}: {error}") from error


def _where(labels: Mapping[str, str] | None) -> str:
    zone = (labels or {}).get(ZONE)
    return f"in {zone}" if zone else ""


def _is_of(lease: Mapping[str, Any], node: str) -> bool:
    metadata = lease["metadata"]
    return bool(metadata["name"] == node and metadata.get("namespace") == LEASE_NAMESPACE)

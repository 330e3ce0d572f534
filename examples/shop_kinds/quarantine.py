"""Takes pods out of service for inspection, as an operator would: replaces their labels, so that neither their Service
nor their ReplicaSet selects them. The ReplicaSet creates new pods. Undone by deleting the pods in quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness import (
    PODS,
    ApiError,
    Cluster,
    Evidence,
    Fault,
    FaultContext,
    Inconclusive,
    NotYet,
    Object,
    Permission,
    PodTarget,
    Victim,
    allow,
)

LABELS = {"shop-kinds/quarantined": "true"}


class PodQuarantine(PodTarget, Fault):
    """Replace the labels of pods. The parameters are those of ``PodTarget``: ``selector``, ``count`` and so on."""

    kind: ClassVar[str] = "podQuarantine"

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get", "patch", "delete")

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        # Seeded, and refused by the guard if a pod is protected or would not be replaced.
        pods = self.choose_pods(context.api, context.namespace, context.rng, context.clock.wall())
        return tuple(Victim("Pod", pod["metadata"]["name"], pod["metadata"]["uid"]) for pod in pods)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        # One entry for all victims, and before the first effect: a crash in between must leave nothing without an undo.
        names = ", ".join(victim.name for victim in victims)
        pods = [{"name": victim.name, "uid": victim.uid} for victim in victims]
        context.journal.write(self.kind, f"delete {names}", {"namespace": context.namespace, "pods": pods})
        for victim in victims:
            # The test of the UID refuses a later pod with the same name, as in a StatefulSet.
            patch: list[Object] = [
                {"op": "test", "path": "/metadata/uid", "value": victim.uid},
                {"op": "replace", "path": "/metadata/labels", "value": LABELS},
            ]
            try:
                context.api.patch(PODS, victim.name, patch, context.namespace, strategy="json")
            except ApiError as error:
                if error.status not in {404, 422}:
                    raise
                raise Inconclusive(f"pod {victim.name} was gone before it could be put in quarantine") from error

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        states = {victim.name: self._state(context, victim) for victim in victims}
        proven = bool(states) and all(state == "in quarantine" for state in states.values())
        return Evidence(proven=proven, text="; ".join(f"pod {name} is {state}" for name, state in states.items()))

    def _state(self, context: FaultContext, victim: Victim) -> str:
        pod = context.api.find(PODS, victim.name, context.namespace)
        if pod is None or pod["metadata"]["uid"] != victim.uid:
            return "gone"
        if pod["metadata"].get("labels") != LABELS:
            return "labelled as before"
        owners = pod["metadata"].get("ownerReferences") or ()
        controlled = any(owner.get("controller") for owner in owners)
        return "not yet released by its controller" if controlled else "in quarantine"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Delete the pods in quarantine. May run in another process, after a crash, and more than once."""
        namespace = parameters["namespace"]
        for pod in parameters["pods"]:
            if not _in_quarantine(cluster, namespace, pod):
                continue
            try:
                cluster.api.delete(PODS, pod["name"], namespace, uid=pod["uid"])
            except ApiError as error:
                # 404: gone; 409: another pod has the name now.
                if error.status not in {404, 409}:
                    raise
        if any(_in_quarantine(cluster, namespace, pod) for pod in parameters["pods"]):
            raise NotYet("the pods in quarantine are not deleted yet")
        return "no pod is in quarantine"


def _in_quarantine(cluster: Cluster, namespace: str, pod: Mapping[str, str]) -> bool:
    found = cluster.api.find(PODS, pod["name"], namespace)
    if found is None or found["metadata"]["uid"] != pod["uid"] or "deletionTimestamp" in found["metadata"]:
        return False
    return bool(found["metadata"].get("labels") == LABELS)

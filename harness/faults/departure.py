"""What killing and evicting pods have in common: both delete them. Not a kind of fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import deletion_asked, has_ended, holds
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.resources import PODS
from harness.cluster.protocol import Cluster
from harness.common.clock import iso
from harness.common.errors import ApiError
from harness.faults.base import Effect, Fault, FaultContext
from harness.faults.candidates import state
from harness.faults.targets import PodTarget
from harness.model.timeline import Victim


@dataclass(frozen=True, slots=True)
class Controlled:
    """What controlled a pod: ``controller`` is ``kind/name``, or empty for a pod without a controller."""

    controller: str


class Departure(PodTarget, Fault):
    """Chooses pods and journals their deletion. A deleted pod cannot be restored: its controller replaces it, which the
    guard has checked before."""

    effect: ClassVar[Effect] = Effect.PODS

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng, context.clock.wall())
        return tuple(_victim(pod) for pod in pods)

    def write_undo(self, context: FaultContext, victims: tuple[Victim, ...], verb: str) -> None:
        """Journal the deletion of all victims in one entry, so that no journal write delays the later deletions."""
        names = ", ".join(victim.name for victim in victims)
        controllers = ", ".join(sorted({victim.state_before(Controlled).controller for victim in victims}))
        pods = [{"name": victim.name, "uid": victim.uid} for victim in victims]
        context.journal.write(
            self.kind,
            f"{verb} {names}: nothing to undo, replacing a deleted pod is up to its controller ({controllers})",
            {"namespace": context.namespace, "pods": pods},
        )

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Verify that nothing is left to undo: each pod is gone or terminating, or was not hit. Changes nothing."""
        namespace = parameters["namespace"]
        fates = [
            f"{pod['name']} {fate(cluster.api.find(PODS, pod['name'], namespace), pod['uid']) or 'was not hit'}"
            for pod in parameters["pods"]
        ]
        return f"nothing to undo: {'; '.join(fates)}"

    def unfinished(self, context: FaultContext, victims: tuple[Victim, ...]) -> str:
        """Return the victims that are still terminating: until they have ended, they may still serve."""
        found = ((victim, context.api.find(PODS, victim.name, context.namespace)) for victim in victims)
        return still_ending(pod for victim, pod in found if pod and pod["metadata"]["uid"] == victim.uid)


def still_ending(pods: Iterable[Object]) -> str:
    """Describe the pods that are being deleted and whose containers have not ended; empty when there are none.

    A pod that only waits for a finalizer has ended.
    """
    ending = [pod for pod in pods if "deletionTimestamp" in pod["metadata"] and not has_ended(pod)]
    return ", ".join(
        f"pod/{pod['metadata']['name']} is still terminating (grace period "
        f"{pod['metadata'].get('deletionGracePeriodSeconds', '?')} s)"
        for pod in ending
    )


def forbidden_by_budget(error: ApiError) -> bool:
    """Return whether the API server refused an eviction because of disruption budgets."""
    # Status 429 also means that the client sends too many requests; only the message distinguishes the two.
    return (error.status == 429 and "disruption budget" in str(error)) or covered_twice(error)


def covered_twice(error: ApiError) -> bool:
    """Return whether the API server refused an eviction because several disruption budgets select the pod."""
    return error.status == 500 and "more than one PodDisruptionBudget" in str(error)


def refusal(error: ApiError, pod: Object, advice: str = "") -> str:
    """Return why budgets forbid the eviction of a pod, and what to change: ``advice`` if there is no special reason."""
    message = str(error).rpartition("/eviction: ")[2]
    if covered_twice(error):
        return f"{message} Let only one budget select each pod: no drain can evict this one"
    if not holds(pod, "Ready"):
        # A budget that is met lets an unready pod go, so it is not met.
        return (
            f"{message}. The pod is not Ready: with unhealthyPodEvictionPolicy: AlwaysAllow the budget would not "
            "protect it"
        )
    return f"{message}. {advice}" if advice else message


def fate(pod: Object | None, uid: str) -> str:
    """Describe what happened to the pod that had this UID, given the pod that has its name now; empty if unchanged."""
    if pod is None:
        return "is gone"
    if pod["metadata"]["uid"] != uid:
        return f"is gone, another pod of that name came ({state(pod)})"
    asked = deletion_asked(pod["metadata"])
    if asked is not None:
        # deletionTimestamp is the time of the request plus the grace period, so it may be in the future.
        return f"is terminating since {iso(asked)}, to be gone by {pod['metadata']['deletionTimestamp']}"
    return ""


def _victim(pod: Object) -> Victim:
    metadata, controller = pod["metadata"], workload_of(pod)
    detail = f"on {pod['spec'].get('nodeName')}, controlled by {controller}"
    return Victim("Pod", metadata["name"], metadata["uid"], detail, Controlled(controller))

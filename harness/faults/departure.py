"""Pods that are made to leave: what killing and evicting them have in common. No kind of fault by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.api import Object
from harness.cluster.protocol import Cluster
from harness.cluster.resources import PODS
from harness.fault import Fault, FaultContext
from harness.observation import Victim
from harness.target import PodTarget, state


class Departure(PodTarget, Fault):
    """Chooses pods and journals their departure. There is nothing to put back: their owner makes new ones."""

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        pods = self.choose_pods(context.api, context.namespace, context.rng)
        return tuple(
            Victim("Pod", pod["metadata"]["name"], pod["metadata"]["uid"], f"on {pod['spec'].get('nodeName')}")
            for pod in pods
        )

    def write_undo(self, context: FaultContext, victims: tuple[Victim, ...], verb: str) -> None:
        """Journal the departure of all victims at once, so that nothing stands between one deletion and the next."""
        names = ", ".join(victim.name for victim in victims)
        pods = [{"name": victim.name, "uid": victim.uid} for victim in victims]
        context.journal.write(
            self.kind,
            f"{verb} {names}: nothing to put back, their owners make new pods",
            {"namespace": context.namespace, "pods": pods},
        )

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Look that nothing is left to do: a pod is gone or going, or was never hit. Changes nothing."""
        namespace = parameters["namespace"]
        seen = [
            f"{pod['name']} {fate(cluster.api.find(PODS, pod['name'], namespace), pod['uid']) or 'was not hit'}"
            for pod in parameters["pods"]
        ]
        return f"nothing to put back: {'; '.join(seen)}"


def fate(pod: Object | None, uid: str) -> str:
    """What became of the pod that had this UID, given what now has its name; empty when it is there as before."""
    if pod is None:
        return "is gone"
    if pod["metadata"]["uid"] != uid:
        return f"is gone, another pod of that name came ({state(pod)})"
    if "deletionTimestamp" in pod["metadata"]:
        return f"is terminating since {pod['metadata']['deletionTimestamp']}"
    return ""

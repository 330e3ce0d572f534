"""What changes on purpose have in common that are expected to work: a rollout and a restart. Not a kind of fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from harness.cluster.kube.client import Object
from harness.cluster.kube.completeness import observed_generation
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS
from harness.faults.base import Evidence, FaultContext
from harness.faults.needs import Need, WorkloadManifests
from harness.faults.template_change import Before, TemplateChange
from harness.model.quantities import counted
from harness.model.timeline import Victim


class GoodChange(TemplateChange):
    """Proven when all pods are of the new revision and available, or once the first of them or the revision exists."""

    on_purpose: ClassVar[bool] = True

    awaits: Literal["complete", "started", "recorded"] = Field(
        default="complete",
        description="what proves it. complete: all replicas are new and available, and no others exist, except those "
        "below the partition of a StatefulSet; started: a pod of the new revision exists, for a rollout that another "
        "fault overtakes, pauses or disturbs; recorded: the controller has made the revision, since the update "
        "strategy OnDelete replaces no pod",
    )

    @property
    def replaces_pods(self) -> bool:
        return self.awaits != "recorded"

    def lasting(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a workload whose pods keep the new version after the undo."""
        for pods in workload.of(self.of):
            strategy = (pods.item.get("spec") or {}).get("updateStrategy") or {}
            if strategy.get("type") == "OnDelete":
                why = "pods that took the new version would keep it after the fault"
                yield ("of",), f"{self.of} has the update strategy OnDelete: {why}"

    @property
    def permissions(self) -> frozenset[Permission]:
        return super().permissions | allow(PODS, "list")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        made = self.made(context, victim)
        if made is None:
            return False, f"{self.of} has no revision newer than {victim.state_before(Before).number}"
        pods = [
            pod
            for pod in context.api.list(PODS, context.namespace).items
            if made.has(pod) and (is_owned_by(pod, made.uid) or is_owned_by(pod, victim.uid))
        ]
        missing = incomplete(self.find_workload(context.api, context.namespace))
        state = missing or "complete"
        proven = self.awaits == "recorded" or (bool(pods) and (self.awaits == "started" or not missing))
        return proven, f"revision {made.number} of {self.of} has {counted(len(pods), 'pod')}: {state}"


def incomplete(workload: Object) -> str:
    """Return why the newest template of a workload is not completely rolled out, as ``kubectl rollout status`` counts;
    "" if it is."""
    status, generation = workload.get("status") or {}, workload["metadata"]["generation"]
    if (observed_generation(workload) or 0) < generation:
        return "its controller has not observed the change"
    daemons = workload["kind"] == "DaemonSet"
    desired = int(status.get("desiredNumberScheduled", 0) if daemons else workload["spec"].get("replicas", 1))
    updated = int(status.get("updatedNumberScheduled" if daemons else "updatedReplicas", 0))
    available = int(status.get("numberAvailable" if daemons else "availableReplicas", 0))
    total = int(status.get("currentNumberScheduled" if daemons else "replicas", 0))
    kept = 0 if daemons else min(desired, _partition(workload))
    if updated == desired - kept and desired == available == total:
        return ""
    below = f", {kept} below the partition" if kept else ""
    return f"{updated} updated, {available} available, {total} in total, {desired} desired{below}"


def _partition(workload: Object) -> int:
    """Return how many pods of a StatefulSet a rolling update leaves alone; 0 for other kinds."""
    strategy = workload["spec"].get("updateStrategy") or {}
    return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)

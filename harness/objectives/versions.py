"""Versions: how many versions of a workload have pods at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import counted, show_seconds
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import WorkloadRef
from harness.objectives._findings import inconclusive
from harness.objectives.base import Objective
from harness.objectives.recovery.gaps import states_lost

# On each pod, the hash of its template: of a Deployment's ReplicaSet, or of a ControllerRevision.
LABELS = ("pod-template-hash", "controller-revision-hash")
_ENDED = ("Succeeded", "Failed")


class Versions(Objective):
    """At most ``max`` versions of a workload have pods at every observation, from the start of the run to its end.

    A pod counts until it is gone, also while it is terminating, and also without container statuses: its version is a
    label that it has from its creation. A Deployment with the strategy Recreate promises 1.
    """

    kind: ClassVar[str] = "versions"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "max": 1}

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    max: Annotated[int, Field(ge=1)] = Field(default=1, description="the maximum number of versions at the same time")

    @property
    def title(self) -> str:
        return f"at most {counted(self.max, 'version')} of {self.of} at the same time"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges the whole run
        alive: dict[str, str] = {}
        most, at, samples = 0, 0.0, 0
        for seen in timeline.observations("pods"):
            if seen.error is not None or not isinstance(seen.value, Mapping) or seen.value.get("owner") != self.of:
                continue
            labels, samples = seen.value.get("labels") or {}, samples + 1
            version = next((labels[name] for name in LABELS if name in labels), None)
            if version is None:
                return inconclusive(f"pod {seen.subject} has none of the labels {', '.join(LABELS)}")
            alive.pop(seen.value["uid"], None)
            if seen.value["event"] != "DELETED" and seen.value.get("phase") not in _ENDED:
                alive[seen.value["uid"]] = version
            if len(set(alive.values())) > most:
                most, at = len(set(alive.values())), seen.at
        return replace(self._finding(timeline, most, at), samples=samples)

    def _finding(self, timeline: Timeline, most: int, at: float) -> Finding:
        if not most:
            return inconclusive(f"no pod of {self.of} was observed")
        required = f"at most {self.max} allowed"
        if most > self.max:
            reason = f"{counted(most, 'version')} of {self.of} had pods at {show_seconds(at)}, {required}"
            return Finding.exact(Verdict.BROKEN, reason, most, limit=self.max, unit="versions", comparison="<=")
        if states_lost(timeline, "pods", 0.0):
            return inconclusive(f"the watch on pods was interrupted: more versions of {self.of} may have been missed")
        reason = f"never more than {counted(most, 'version')} of {self.of} at the same time, {required}"
        return Finding.exact(Verdict.HELD, reason, most, limit=self.max, unit="versions", comparison="<=")

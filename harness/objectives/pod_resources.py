"""Pod resources: what is reserved for a container in the pods of a workload, after an autoscaler has changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.model.amounts import AmountRange
from harness.model.finding import Finding
from harness.model.phase_names import FAULT
from harness.model.timeline import Timeline
from harness.objectives._amounts import Level, bounds_of, during_fault, level, settled
from harness.objectives._fields import Limit, WorkloadRef
from harness.objectives.base import Objective
from harness.objectives.recovery.pods import PodSample, pods_of


class PodResources(Objective):
    """The requests of a container come within the bounds ``within`` a time limit, and stay there during the fault.

    They are those that the kubelet has applied, in every pod that is not being deleted; with ``newPods`` only in pods
    that were created in the fault phase. A pod without container statuses is not within the bounds yet; pods that come
    after the fault phase are not judged.
    """

    kind: ClassVar[str] = "podResources"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "of": "deployment/podinfo",
        "container": "app",
        "cpu": {"atLeast": "50m", "atMost": "200m"},
        "within": "60s",
    }

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    container: str = Field(min_length=1, description="the container of its pods")
    cpu: AmountRange | None = Field(default=None, description="the bounds of the CPU, atLeast and atMost, such as 50m")
    memory: AmountRange | None = Field(default=None, description="the bounds of the memory, such as 64Mi")
    within: Limit = Field(description="the time limit from the start of the fault phase")
    new_pods: bool = Field(default=False, description="judge only pods that were created in the fault phase")

    @model_validator(mode="after")
    def _requires_something(self) -> Self:
        if self.cpu is None and self.memory is None:
            raise ValueError("found no requirement, expected cpu, memory or both")
        return self

    @property
    def title(self) -> str:
        bounds = ", ".join(f"{bound.shown(name)} {name}" for name, bound in self._bounds.items())
        return f"{'new pods' if self.new_pods else 'pods'} of {self.of} reserve {bounds} for {self.container}"

    def awaits(self, timeline: Timeline) -> str:
        seen = during_fault(timeline, self._levels(timeline))
        return "" if seen and seen[-1].good else f"{self.title}: not yet"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # the time limit counts from the fault phase
        levels = self._levels(timeline)
        return replace(settled(timeline, "pods", levels, self.within), samples=len(levels))

    @property
    def _bounds(self) -> dict[str, AmountRange]:
        return bounds_of(self.cpu, self.memory)

    def _levels(self, timeline: Timeline) -> list[Level]:
        """Return the requests after each event of a pod: of the pod that is furthest from the bounds, if any is."""
        fault, events = timeline.phase(FAULT), pods_of(timeline, self.of)
        start = fault.start if fault and self.new_pods else 0.0
        old = {pod.uid for pod in events if pod.at < start}
        there: dict[str, PodSample] = {}
        found = []
        for pod in events:
            if pod.uid in old:
                continue
            there[pod.uid] = pod
            if not pod.alive:
                del there[pod.uid]
            found.append(self._level(pod.at, list(there.values())))
        return found

    def _level(self, at: float, pods: Sequence[PodSample]) -> Level:
        if not pods:
            return Level(at, False, "no pod")
        levels = [self._of_pod(at, pod) for pod in pods]
        worst = sorted(levels, key=lambda each: (each.good is not False, each.good is not None))
        return worst[0]

    def _of_pod(self, at: float, pod: PodSample) -> Level:
        applied = (pod.requests or {}).get(self.container)
        if applied is None:
            return Level(at, None, f"the requests of {pod.name} were not reported")
        return level(at, applied, self._bounds)

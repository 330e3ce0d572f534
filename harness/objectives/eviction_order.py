"""Eviction order: which workloads lose pods first when the memory of a node runs short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.model.finding import Finding
from harness.model.phase_names import FAULT
from harness.model.quantities import show_seconds
from harness.model.timeline import Observation, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import WorkloadRef
from harness.objectives._findings import inconclusive
from harness.objectives.base import Objective
from harness.objectives.recovery.gaps import states_lost

# The kubelet's reason for a pod that it has ended to get resources back, and that for a container which the kernel did.
_EVICTED, _KILLED = "Evicted", "OOMKilled"


@dataclass(frozen=True, slots=True)
class _Loss:
    """The first pod that a workload lost, when, and the reason."""

    at: float
    text: str


class EvictionOrder(Objective):
    """When memory is short, the workloads in ``order`` lose pods one after the other, and those in ``spared`` none.

    A pod is lost if the kubelet evicts it, or the kernel kills one of its containers for lack of memory, from the start
    of the fault phase on. The kubelet begins with the pods that use most beyond what they have reserved. A workload
    that comes later need not lose any. INCONCLUSIVE if none does: memory was not short.
    """

    kind: ClassVar[str] = "evictionOrder"
    example: ClassVar[Mapping[str, Any]] = {"order": ["deployment/batch"], "spared": ["deployment/podinfo"]}

    order: Annotated[tuple[WorkloadRef, ...], Field(min_length=1)] = Field(
        description="workloads, such as deployment/batch, the one that loses a pod first at the top"
    )
    spared: tuple[WorkloadRef, ...] = Field(default=(), description="workloads that lose no pod")

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        named = [*self.order, *self.spared]
        if twice := sorted({each for each in named if named.count(each) > 1}):
            raise ValueError(f"found {', '.join(twice)} more than once, expected each workload once")
        if len(named) == 1:
            raise ValueError("found one workload, expected another one in order or in spared to compare it with")
        return self

    @property
    def title(self) -> str:
        spared = f", never of {', '.join(self.spared)}" if self.spared else ""
        return f"pods lost for lack of memory: of {', then '.join(self.order)}{spared}"

    def awaits(self, timeline: Timeline) -> str:
        missing = [each for each in self.order if self._loss(timeline, each) is None]
        return f"{', '.join(missing)} lost no pod yet" if missing else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # from the start of the fault phase to the end of the run
        fault = timeline.phase(FAULT)
        if fault is None:
            return inconclusive("the run did not reach the fault phase")
        seen = {each: self._events(timeline, each) for each in (*self.order, *self.spared)}
        if unseen := [each for each, events in seen.items() if not events]:
            return inconclusive(f"no pod of {', '.join(unseen)} was observed")
        found = {each: self._loss(timeline, each) for each in seen}
        lost = {each: loss for each, loss in found.items() if loss}
        texts = "; ".join(f"{each} lost {loss.text}" for each, loss in sorted(lost.items(), key=lambda one: one[1].at))
        if wrong := self._wrong(lost):
            finding = Finding.exact(Verdict.BROKEN, f"{wrong}: {texts}", 1, limit=0, unit="pods", comparison="<=")
        elif states_lost(timeline, "pods", fault.start):
            finding = inconclusive("the watch on pods was interrupted, so the loss of a pod may have been missed")
        elif not lost:
            finding = inconclusive("no pod was evicted or killed for lack of memory, so memory was not short")
        elif unreported := self._unreported(seen):
            finding = inconclusive(f"no kubelet reported the containers of {', '.join(unreported)}")
        else:
            kept = [each for each in seen if each not in lost]
            others = f"; {', '.join(kept)} lost none" if kept else ""
            reason = f"{texts}{others}"
            finding = Finding.exact(Verdict.HELD, reason, 0, limit=0, unit="pods", comparison="<=")
        return replace(finding, samples=sum(map(len, seen.values())))

    def _wrong(self, lost: Mapping[str, _Loss]) -> str:
        """Return which loss was against the order; "" if none was."""
        spared = [each for each in self.spared if each in lost]
        if spared:
            return f"{', '.join(spared)} must lose no pod"
        for index, first in enumerate(self.order):
            for later in self.order[index + 1 :]:
                if later in lost and (first not in lost or lost[later].at < lost[first].at):
                    return f"{later} lost a pod before {first} did"
        return ""

    def _events(self, timeline: Timeline, workload: str) -> list[Observation]:
        return [
            seen
            for seen in timeline.observations("pods")
            if seen.error is None and isinstance(seen.value, Mapping) and seen.value.get("owner") == workload
        ]

    def _loss(self, timeline: Timeline, workload: str) -> _Loss | None:
        fault = timeline.phase(FAULT)
        before: set[tuple[str, str, int]] = set()
        for seen in self._events(timeline, workload) if fault else ():
            for key, why in _ends(seen):
                if fault and seen.at >= fault.start and key not in before:
                    return _Loss(seen.at, f"{seen.subject} ({why}) at {show_seconds(seen.at)}")
                before.add(key)
        return None

    def _unreported(self, seen: Mapping[str, Sequence[Observation]]) -> list[str]:
        """Return the pods on a node without container statuses, in which a kill cannot be seen."""
        last = {each.value["uid"]: each for events in seen.values() for each in events}
        return sorted(
            each.subject
            for each in last.values()
            if each.value.get("node") and not each.value.get("containers") and each.value.get("reason") != _EVICTED
        )


def _ends(seen: Observation) -> list[tuple[tuple[str, str, int], str]]:
    """Return what memory ended in a pod, each with a key that a later end does not have."""
    uid, containers = str(seen.value.get("uid")), seen.value.get("containers") or {}
    found = [
        ((uid, name, int(state.get("restarts") or 0)), f"{name} {_KILLED}")
        for name, state in containers.items()
        if state.get("end_reason") == _KILLED
    ]
    evicted = seen.value.get("reason") == _EVICTED
    return [((uid, "", 0), _EVICTED), *found] if evicted else found

"""Restarts: the number of container restarts, as counted by the kubelet in the status of each pod."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.model.finding import Finding
from harness.model.phase_names import FAULT
from harness.model.quantities import counted
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, WorkloadRef
from harness.objectives._findings import combined, inconclusive
from harness.objectives.base import Due, LiveObjective
from harness.objectives.recovery.gaps import states_lost
from harness.objectives.recovery.pods import PodSample, pods_of, victims

_UNIT = "restarts"


class Restarts(LiveObjective):
    """There are between ``min`` and ``max`` container restarts from the fault to the end of the run.

    Without faults a ``max`` counts from the start of the fault phase. With ``onlyVictims`` all are in victims of
    the fault. A new pod counts its restarts from zero.
    """

    kind: ClassVar[str] = "restarts"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "min": 1, "max": 1, "onlyVictims": True}

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    min: Count | None = Field(default=None, description="the minimum number of restarts in all its pods")
    max: Count | None = Field(default=None, description="the maximum number of restarts in all its pods")
    only_victims: bool = Field(default=False, description="require that only victims of the fault restart")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min is None and self.max is None and not self.only_victims:
            raise ValueError("found no requirement, expected min, max or onlyVictims")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"found min: {self.min} above max: {self.max}, expected min to be at most max")
        return self

    @property
    def title(self) -> str:
        return f"restarts of {self.of}"

    def pending(self, timeline: Timeline) -> str:
        total = sum(self._counts(timeline).values())
        missing = self.min is not None and total < self.min
        return f"{self.of} had {counted(total, 'restart')}, at least {self.min} required" if missing else ""

    def awaits(self, timeline: Timeline) -> str:
        return self.pending(timeline)

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # the number of restarts never decreases
        total = sum(self._counts(timeline).values())
        return self._in_range(total).reason if self.max is not None and total > self.max else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # counted from the fault to the end of the run
        since, events = self._since(timeline), pods_of(timeline, self.of)
        if since is None or not events:
            return inconclusive(
                "the run did not reach the fault phase" if events else f"no pod of {self.of} was observed"
            )
        there = _last_alive(events, since)
        if not there:
            return inconclusive(f"no pod of {self.of} existed after the fault, so no restart could be observed")
        counts = self._counts(timeline)
        total = sum(counts.values())
        parts, others = [self._in_range(total)], list[str]()
        if self.only_victims:
            hit, names = victims(timeline), {pod.uid: pod.name for pod in events}
            others = sorted(names[uid] for uid, count in counts.items() if count and uid not in hit)
            parts.append(_siblings(others))
        finding = combined(parts)
        # During a gap in the watch, pods may have restarted and been deleted. Only a violation by the restarts seen so
        # far is certain.
        proven = others or (self.max is not None and total > self.max)
        if not proven and states_lost(timeline, "pods", since):
            seen = counted(total, "restart")
            finding = inconclusive(f"the watch on pods was interrupted: it saw {seen}, but more may have been missed")
        # The kubelet writes container statuses soon after a pod is bound to its node. Without them restarts cannot be
        # seen, and zero would be a guess.
        unreported = sorted(pod.name for pod in there if pod.node and not pod.containers)
        if finding.verdict is Verdict.HELD and unreported:
            finding = inconclusive(f"no kubelet reported the containers of {', '.join(unreported)}")
        return replace(finding, samples=len(events))

    def _since(self, timeline: Timeline) -> float | None:
        """Return when counting starts, or None if it does not."""
        injected, fault = timeline.injected(), timeline.phase(FAULT)
        if injected is not None:
            return injected.low
        # Restarts that must happen are the effect of a fault.
        return fault.start if fault and not self.min and not self.only_victims else None

    def _in_range(self, total: int) -> Finding:
        low, high = self.min or 0, self.max
        required = f"at least {low}" if high is None else str(low) if low == high else f"{low} to {high}"
        reason = f"{counted(total, 'container restart')}, {required} required"
        if total < low or high is None:
            verdict = Verdict.BROKEN if total < low else Verdict.HELD
            return Finding.exact(verdict, reason, total, limit=low, unit=_UNIT, comparison=">=")
        verdict = Verdict.BROKEN if total > high else Verdict.HELD
        return Finding.exact(verdict, reason, total, limit=high, unit=_UNIT, comparison="<=")

    def _counts(self, timeline: Timeline) -> dict[str, int]:
        """Return the restarts since the fault by pod UID."""
        since = self._since(timeline)
        if since is None:
            return {}
        before: dict[str, int] = {}
        latest: dict[str, int] = {}
        for pod in pods_of(timeline, self.of):
            into = before if pod.at < since else latest
            into[pod.uid] = max(into.get(pod.uid, 0), _restarts(pod))
        return {uid: max(0, count - before.get(uid, 0)) for uid, count in latest.items()}


def _last_alive(events: Sequence[PodSample], fault: float) -> list[PodSample]:
    """Return the last event of each pod that was alive at the end or at some time after the fault."""
    last = {pod.uid: pod for pod in events}
    later = {pod.uid for pod in events if pod.at >= fault and pod.alive}
    return [pod for uid, pod in last.items() if pod.alive or uid in later]


def _restarts(pod: PodSample) -> int:
    return sum(pod.restarts.values())


def _siblings(others: Sequence[str]) -> Finding:
    if others:
        verdict, reason = Verdict.BROKEN, f"pods that are not victims restarted: {', '.join(others)}"
    else:
        verdict, reason = Verdict.HELD, "no restarts in pods that are not victims"
    return Finding.exact(verdict, reason, len(others), limit=0, unit="pods", comparison="<=")

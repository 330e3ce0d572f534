"""Restarts: how often containers were restarted in place, as the kubelet counts them in each pod's status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Self

from pydantic import Field, model_validator

from harness.objective import Due, Finding, LiveObjective
from harness.objectives._fields import Count, WorkloadRef
from harness.objectives._findings import combined, inconclusive
from harness.observation import Timeline
from harness.recovery.gaps import states_lost
from harness.recovery.pods import PodSeen, pods_of, victims
from harness.verdict import Verdict

_UNIT = "restarts"


class Restarts(LiveObjective):
    """Between ``min`` and ``max`` container restarts from the fault to the end; with ``onlyVictims`` none of them in a
    pod that the fault did not hit. A pod that was replaced counts its restarts from zero."""

    kind: ClassVar[str] = "restarts"

    of: WorkloadRef
    min: Count | None = None
    max: Count | None = None
    only_victims: bool = Field(False, description="whether pods that the fault did not hit must not restart")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min is None and self.max is None and not self.only_victims:
            raise ValueError("found no demand, expected min, max or onlyVictims")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"found min: {self.min} above max: {self.max}, expected min to be at most max")
        return self

    @property
    def title(self) -> str:
        return f"restarts of {self.of}"

    def pending(self, timeline: Timeline) -> str:
        counted = sum(self._counts(timeline).values())
        missing = self.min is not None and counted < self.min
        return f"{self.of} had {counted} restarts, at least {self.min} asked for" if missing else ""

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # what was counted is not taken back
        counted = sum(self._counts(timeline).values())
        return self._in_range(counted).reason if self.max is not None and counted > self.max else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # counted from the fault to the end of the run
        injected, events = timeline.injected(), pods_of(timeline, self.of)
        if injected is None or not events:
            return inconclusive(f"no pod of {self.of} was seen" if timeline.injections else "nothing was injected")
        counts = self._counts(timeline)
        total = sum(counts.values())
        parts, others = [self._in_range(total)], list[str]()
        if self.only_victims:
            hit, names = victims(timeline), {pod.uid: pod.name for pod in events}
            others = sorted(names[uid] for uid, count in counts.items() if count and uid not in hit)
            parts.append(_siblings(others))
        finding = combined(parts)
        # What was counted is not taken back, but pods may have restarted and gone while nobody looked.
        proven = others or (self.max is not None and total > self.max)
        if not proven and states_lost(timeline, "pods", injected.low):
            finding = inconclusive(
                f"the watch on pods broke: beside the {total} restarts seen more may have gone unseen"
            )
        return replace(finding, samples=len(events))

    def _in_range(self, total: int) -> Finding:
        low, high = self.min or 0, self.max
        asked = f"at least {low}" if high is None else str(low) if low == high else f"{low} to {high}"
        reason = f"{total} container restarts, {asked} asked for"
        if total < low or high is None:
            return Finding(
                Verdict.BROKEN if total < low else Verdict.HELD, reason, total, total, total, low, _UNIT, ">="
            )
        verdict = Verdict.BROKEN if total > high else Verdict.HELD
        return Finding(verdict, reason, total, total, total, high, _UNIT, "<=")

    def _counts(self, timeline: Timeline) -> dict[str, int]:
        """Restarts by pod UID since the fault."""
        injected = timeline.injected()
        if injected is None:
            return {}
        before: dict[str, int] = {}
        latest: dict[str, int] = {}
        for pod in pods_of(timeline, self.of):
            into = before if pod.at < injected.low else latest
            into[pod.uid] = max(into.get(pod.uid, 0), _restarts(pod))
        return {uid: max(0, count - before.get(uid, 0)) for uid, count in latest.items()}


def _restarts(pod: PodSeen) -> int:
    return sum(pod.restarts.values())


def _siblings(others: Sequence[str]) -> Finding:
    count = len(others)
    if others:
        reason = f"pods that the fault did not hit restarted: {', '.join(others)}"
        return Finding(Verdict.BROKEN, reason, count, count, count, 0, "pods", "<=")
    return Finding(Verdict.HELD, "none in a pod that the fault did not hit", 0, 0, 0, 0, "pods", "<=")

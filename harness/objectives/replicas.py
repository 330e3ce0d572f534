"""Replicas: how many there are, as an autoscaler or a rollout changes it. Judged at every observation of a watch.

For an autoscaler (``hpa/NAME``) the count is what it sees and what it wants: neither may pass a bound. For a workload
it is the ready replicas from below and all replicas from above, surge included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from pydantic import Field, model_validator

from harness.objective import Due, Finding, LiveObjective
from harness.objectives._fields import Count, Limit, ScaledRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._series import in_force, number, values
from harness.observation import FAULT, RECOVERY, Interval, Observation, Phase, Timeline
from harness.quantities import show_seconds
from harness.recovery import watched_until
from harness.recovery.gaps import states_lost, watch_open_ended
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class _Size:
    """The least and the most that can be called the number of replicas, when they were seen."""

    at: float
    least: int
    most: int

    def is_at(self, count: int) -> bool:
        return self.least == self.most == count


class Replicas(LiveObjective):
    """Every demand that is made must hold: ``reaches`` ``within`` a time of the fault phase's start, ``neverAbove`` and
    ``neverBelow`` from there to the end, ``settlesTo`` ``settlesWithin`` a time of the recovery phase's start."""

    kind: ClassVar[str] = "replicas"

    of: ScaledRef = Field(description="hpa/NAME or a workload, such as deployment/podinfo")
    reaches: Count | None = None
    within: Limit | None = None
    never_above: Count | None = None
    never_below: Count | None = None
    settles_to: Count | None = None
    settles_within: Limit | None = None

    @model_validator(mode="after")
    def _demands_are_whole(self) -> Self:
        if (self.reaches is None) != (self.within is None):
            raise ValueError("found one of reaches and within, expected both or neither")
        if (self.settles_to is None) != (self.settles_within is None):
            raise ValueError("found one of settlesTo and settlesWithin, expected both or neither")
        if {self.reaches, self.never_above, self.never_below, self.settles_to} == {None}:
            raise ValueError("found no demand, expected reaches, neverAbove, neverBelow or settlesTo")
        low, high = self.never_below or 0, self.never_above
        for name, wanted in (("reaches", self.reaches), ("settlesTo", self.settles_to)):
            if wanted is not None and (wanted < low or (high is not None and wanted > high)):
                raise ValueError(f"found {name}: {wanted}, expected it between neverBelow and neverAbove")
        return self

    @property
    def title(self) -> str:
        return f"replicas of {self.of}"

    @property
    def checks_control(self) -> bool:
        # What must grow or shrink may do so because of the fault: without one it is not to be expected.
        return self.reaches is None and self.settles_to is None

    def pending(self, timeline: Timeline) -> str:
        sizes = self._sizes(timeline, 0.0)
        if self.settles_to is None or not sizes or sizes[-1].is_at(self.settles_to):
            return ""
        return f"{self.of} is at {sizes[-1].most}, to settle to {self.settles_to}"

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # one observation is enough
        fault = timeline.phase(FAULT)
        sizes = self._sizes(timeline, fault.start) if fault else []
        parts = self._bounds(sizes, blind=False) if sizes else []
        return next((part.reason for part in parts if part.verdict is Verdict.BROKEN), "")

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # the times count from phases of their own
        fault, recovery = timeline.phase(FAULT), timeline.phase(RECOVERY)
        if fault is None:
            return inconclusive("the run never came to the fault phase")
        sizes = self._sizes(timeline, fault.start)
        if not sizes:
            return inconclusive(f"nothing was seen of {self.of}")
        parts: list[Finding] = []
        if self.reaches is not None and self.within is not None:
            parts.append(self._reached(timeline, sizes, fault, self.reaches, self.within))
        parts += self._bounds(sizes, states_lost(timeline, self._series, fault.start))
        if self.settles_to is not None and self.settles_within is not None:
            parts.append(self._settled(timeline, sizes, recovery, self.settles_to, self.settles_within))
        return replace(combined(parts), samples=len(sizes))

    @property
    def _series(self) -> str:
        return "autoscalers" if self.of.startswith("hpa/") else "workloads"

    def _sizes(self, timeline: Timeline, start: float) -> list[_Size]:
        keys = ("current", "desired") if self.of.startswith("hpa/") else ("ready", "replicas")
        return [_size(seen, keys) for seen in in_force(values(timeline, self._series, self.of), start)]

    def _reached(self, timeline: Timeline, sizes: list[_Size], fault: Phase, wanted: int, limit: float) -> Finding:
        first = next((size for size in sizes if size.least >= wanted), None)
        what, since = f"{self.of} came to {wanted} replicas", "the fault phase began"
        if first is not None and first.at < fault.start:
            return inconclusive(f"{self.of} had {first.least} replicas before the fault phase: no growth was shown")
        if first is not None:
            took = first.at - fault.start
            return within(what, Interval(took, took), limit, since)
        if watch_open_ended(timeline, self._series):
            return inconclusive(f"the watch on {self._series} broke before {self.of} came to {wanted}")
        most = max(size.least for size in sizes)
        finding = never(what, watched_until(timeline) - fault.start, limit, since)
        return replace(finding, reason=f"{finding.reason}; the most was {most}")

    def _bounds(self, sizes: list[_Size], blind: bool) -> list[Finding]:
        found: list[Finding] = []
        if self.never_above is not None:
            most = max(sizes, key=lambda size: size.most)
            found.append(self._bound(most.most, most.at, self.never_above, "<=", blind))
        if self.never_below is not None:
            least = min(sizes, key=lambda size: size.least)
            found.append(self._bound(least.least, least.at, self.never_below, ">=", blind))
        return found

    def _bound(self, count: int, at: float, limit: int, comparison: str, blind: bool) -> Finding:
        holds = count <= limit if comparison == "<=" else count >= limit
        word, side = ("most", "above") if comparison == "<=" else ("least", "below")
        reason = (
            f"{self.of}: {count} replicas at {word} (at {show_seconds(max(0.0, at))}), never {side} {limit} asked for"
        )
        verdict = Verdict.HELD if holds else Verdict.BROKEN
        if holds and blind:
            verdict, reason = Verdict.INCONCLUSIVE, f"{reason}, but the watch broke and states may have gone unseen"
        return Finding(verdict, reason, count, count, count, limit, "replicas", comparison)

    def _settled(
        self, timeline: Timeline, sizes: list[_Size], recovery: Phase | None, wanted: int, limit: float
    ) -> Finding:
        if recovery is None:
            return inconclusive("the run never came to the recovery phase")
        what, since = f"{self.of} settled to {wanted} replicas", "the recovery phase began"
        away = [index for index, size in enumerate(sizes) if not size.is_at(wanted)]
        if not away:
            return inconclusive(f"{self.of} never left {wanted} replicas: no settling was shown")
        if away[-1] + 1 < len(sizes):
            at = sizes[away[-1] + 1].at
            took = max(0.0, at - recovery.start)
            finding = within(what, Interval(took, took), limit, since)
            # What a relist told at ``at`` is the state of that instant; later gaps may hide that it moved again.
            if finding.verdict is Verdict.HELD and states_lost(timeline, self._series, math.nextafter(at, math.inf)):
                unseen = "but the watch broke afterwards, so it may have moved again unseen"
                return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {unseen}")
            return finding
        if watch_open_ended(timeline, self._series):
            return inconclusive(f"the watch on {self._series} broke before {self.of} settled")
        finding = never(what, watched_until(timeline) - recovery.start, limit, since)
        return replace(finding, reason=f"{finding.reason}; the last was {sizes[-1].most}")


def _size(seen: Observation, keys: tuple[str, str]) -> _Size:
    least, most = sorted(number(seen, key) for key in keys)
    return _Size(seen.at, least, most)

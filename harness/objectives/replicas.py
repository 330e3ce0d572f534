"""Replicas: the number of replicas while an autoscaler or a rollout changes it, judged at every observation of a watch.

For an autoscaler (``hpa/NAME``) both the current and the desired number must meet the limits. For a workload the lower
limit applies to the ready replicas and the upper limit to all replicas, including surge. An unknown number (an
autoscaler that cannot read its metrics, a controller that has not observed a change) never meets a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.model.finding import Finding
from harness.model.phase_names import FAULT, RECOVERY
from harness.model.reported import Unknown
from harness.model.timeline import Interval, Phase, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, Limit, ScaledRef
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._limits import at_least, bound, is_below, when, why
from harness.objectives._series import CountSample, between, counts, statuses, unknown_now
from harness.objectives.base import Due, LiveObjective
from harness.objectives.recovery import watched_until
from harness.objectives.recovery.gaps import states_lost, watch_open_ended


@dataclass(frozen=True, slots=True)
class _Size:
    """The two numbers of replicas (current and desired, or ready and all), in force from an instant on."""

    at: float
    counts: tuple[CountSample, CountSample]

    def has(self, wanted: int) -> bool:
        """Return whether both are known and at least ``wanted``."""
        return all(isinstance(count.number, int) and count.number >= wanted for count in self.counts)

    def is_below(self, wanted: int) -> bool:
        """Return whether one of them is certainly lower."""
        return any(is_below(count.number, wanted) for count in self.counts)

    def is_at(self, wanted: int) -> bool:
        return all(count.number == wanted for count in self.counts)

    def is_away_from(self, wanted: int) -> bool:
        """Return whether one of them is certainly a different number."""
        known = [at_least(count.number) for count in self.counts]
        return any(number not in {None, wanted} for number in known)

    @property
    def known(self) -> list[int]:
        return [number for number in (at_least(count.number) for count in self.counts) if number is not None]

    @property
    def why(self) -> str:
        """An explanation to be appended to a reason; may be empty."""
        unknown = [count for count in self.counts if isinstance(count.number, Unknown)]
        return why((unknown or self.counts)[0])

    def __str__(self) -> str:
        return str(max(self.known)) if self.known else "unknown"


class Replicas(LiveObjective):
    """All given requirements on the number of replicas of a workload or an autoscaler hold.

    ``reaches`` must happen ``within`` a time limit from the start of the fault phase. ``neverAbove`` and ``neverBelow``
    apply from there to the end. ``settlesTo`` must happen ``settlesWithin`` a time limit from the start of the recovery
    phase. An autoscaler that had lost its metrics must compute again ``resumesWithin`` a time limit from there.
    """

    kind: ClassVar[str] = "replicas"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "of": "hpa/podinfo",
        "reaches": 3,
        "within": "60s",
        "neverAbove": 4,
        "neverBelow": 1,
    }

    of: ScaledRef = Field(description="hpa/NAME or a workload, such as deployment/podinfo")
    reaches: Count | None = Field(default=None, description="the number of replicas to be reached during the fault")
    within: Limit | None = Field(
        default=None, description="the time limit for reaches, from the start of the fault phase"
    )
    never_above: Count | None = Field(
        default=None, description="the maximum number of replicas, from the fault phase on"
    )
    never_below: Count | None = Field(
        default=None, description="the minimum number of replicas, from the fault phase on"
    )
    settles_to: Count | None = Field(
        default=None, description="the final number of replicas after the fault, which must not change again"
    )
    settles_within: Limit | None = Field(
        default=None, description="the time limit for settlesTo, from the start of the recovery phase"
    )

    resumes_within: Limit | None = Field(
        default=None,
        description="for an autoscaler that could not compute its desired replicas: the time limit for computing them "
        "again, from the start of the recovery phase",
    )

    @model_validator(mode="after")
    def _requirements_are_complete(self) -> Self:
        if (self.reaches is None) != (self.within is None):
            raise ValueError("found one of reaches and within, expected both or neither")
        if (self.settles_to is None) != (self.settles_within is None):
            raise ValueError("found one of settlesTo and settlesWithin, expected both or neither")
        if {self.reaches, self.never_above, self.never_below, self.settles_to, self.resumes_within} == {None}:
            expected = "reaches, neverAbove, neverBelow, settlesTo or resumesWithin"
            raise ValueError(f"found no requirement, expected {expected}")
        if self.resumes_within is not None and not self.of.startswith("hpa/"):
            raise ValueError(f"found resumesWithin for {self.of}, expected it only for hpa/NAME")
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
        # The number may change only because of the fault, so a control arm need not reach or settle to anything.
        return self.reaches is None and self.settles_to is None and self.resumes_within is None

    def unready(self, timeline: Timeline) -> str:
        return unknown_now(timeline, self._series, self.of, self._keys)

    def pending(self, timeline: Timeline) -> str:
        if self.resumes_within is not None and (unknown := unknown_now(timeline, self._series, self.of, self._keys)):
            return f"{self.of} does not compute its desired replicas: {unknown}"
        sizes = self._sizes(timeline, 0.0)
        if self.settles_to is None or not sizes or sizes[-1].is_at(self.settles_to):
            return ""
        return f"{self.of} has {sizes[-1]} replicas, must settle to {self.settles_to}{sizes[-1].why}"

    def awaits(self, timeline: Timeline) -> str:
        fault = timeline.phase(FAULT)
        if self.reaches is None or fault is None:
            return ""
        reached = any(size.has(self.reaches) for size in self._sizes(timeline, fault.start))
        return "" if reached else f"{self.of} has not reached {self.reaches} replicas"

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # one observation is enough
        fault = timeline.phase(FAULT)
        sizes = self._sizes(timeline, fault.start) if fault else []
        parts = self._bounds(sizes, lost=False) if sizes else []
        return next((part.reason for part in parts if part.verdict is Verdict.BROKEN), "")

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # the time limits count from fixed phases
        fault, recovery = timeline.phase(FAULT), timeline.phase(RECOVERY)
        if fault is None:
            return inconclusive("the run did not reach the fault phase")
        sizes = self._sizes(timeline, fault.start)
        if not sizes:
            return inconclusive(f"{self.of} was never observed")
        parts: list[Finding] = []
        if self.reaches is not None and self.within is not None:
            parts.append(self._reached(timeline, sizes, fault, self.reaches, self.within))
        parts += self._bounds(sizes, states_lost(timeline, self._series, fault.start))
        if self.settles_to is not None and self.settles_within is not None:
            settled = inconclusive("the run did not reach the recovery phase")
            if recovery is not None:
                settled = self._settled(timeline, sizes, recovery, self.settles_to, self.settles_within)
            parts.append(settled)
        if self.resumes_within is not None:
            resumed = inconclusive("the run did not reach the recovery phase")
            if recovery is not None:
                resumed = self._resumed(timeline, fault, recovery, self.resumes_within)
            parts.append(resumed)
        return replace(combined(parts), samples=len(sizes))

    @property
    def _series(self) -> str:
        return "autoscalers" if self.of.startswith("hpa/") else "workloads"

    @property
    def _keys(self) -> tuple[str, str]:
        return ("current", "desired") if self.of.startswith("hpa/") else ("ready", "replicas")

    def _sizes(self, timeline: Timeline, start: float) -> list[_Size]:
        seen = statuses(timeline, self._series, self.of)
        first, second = (between(counts(seen, self._series, key), self.of, start) for key in self._keys)
        return [
            _Size(at, (_in_force_at(first, at), _in_force_at(second, at)))
            for at in sorted({count.at for count in (*first, *second)})
        ]

    def _reached(self, timeline: Timeline, sizes: list[_Size], fault: Phase, wanted: int, limit: float) -> Finding:
        # Ignore leading unknown numbers: an autoscaler that has not evaluated yet has not scaled anything either.
        sizes = list(dropwhile(lambda size: not size.known, sizes)) or sizes
        index = next((index for index, size in enumerate(sizes) if size.has(wanted)), None)
        what, since = f"{self.of} reached {wanted} replicas", "the start of the fault phase"
        if index is not None:
            first = sizes[index]
            if first.at < fault.start:
                return inconclusive(f"{self.of} had {first} replicas before the fault phase, so it did not grow")
            if not any(size.is_below(wanted) for size in sizes[:index]):
                return inconclusive(f"{self.of} was not observed below {wanted} replicas before it had {first}")
            took = first.at - fault.start
            return within(what, Interval(took, took), limit, since)
        if watch_open_ended(timeline, self._series):
            return inconclusive(f"the watch on {self._series} was interrupted before {self.of} reached {wanted}")
        unknown = next((size for size in sizes if not size.is_below(wanted)), None)
        if unknown is not None:
            return inconclusive(f"the number of replicas of {self.of} is unknown at {when(unknown.at)}{unknown.why}")
        finding = never(what, watched_until(timeline) - fault.start, limit, since)
        most = max(min(size.known) for size in sizes)
        return replace(finding, reason=f"{finding.reason}; the maximum was {most}{sizes[-1].why}")

    def _bounds(self, sizes: list[_Size], lost: bool) -> list[Finding]:
        seen = [count for size in sizes for count in size.counts]
        found: list[Finding] = []
        for limit, comparison, word, side in (
            (self.never_above, "<=", "maximum", "above"),
            (self.never_below, ">=", "minimum", "below"),
        ):
            if limit is not None:
                sentence = f"{self.of} had a {word} of {{}} replicas (at {{}})"
                requirement = f"required: never {side} {limit}"
                found.append(
                    bound(
                        self.of,
                        seen,
                        comparison,
                        limit,
                        sentence=sentence,
                        requirement=requirement,
                        states_lost=lost,
                    )
                )
        return found

    def _resumed(self, timeline: Timeline, fault: Phase, recovery: Phase, limit: float) -> Finding:
        # Also short times without a number, which do not matter elsewhere.
        found = [
            CountSample(status.at, status.count("desired"), status)
            for status in statuses(timeline, self._series, self.of)
            if status.at >= fault.start
        ]
        unknown = [index for index, count in enumerate(found) if isinstance(count.number, Unknown)]
        if not unknown:
            return inconclusive(f"{self.of} was not observed without its desired replicas, so it did not resume")
        last = found[unknown[-1]]
        what, since = f"{self.of} computed its desired replicas again", "the start of the recovery phase"
        if last is not found[-1]:
            took = max(0.0, found[unknown[-1] + 1].at - recovery.start)
            finding = within(what, Interval(took, took), limit, since)
            if finding.verdict is Verdict.HELD and states_lost(timeline, self._series, found[unknown[-1] + 1].at):
                missed = "but the watch was interrupted afterwards, so a later loss may have been missed"
                return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {missed}")
            return finding
        if watch_open_ended(timeline, self._series):
            return inconclusive(f"the watch on {self._series} was interrupted before {self.of} computed again")
        finding = never(what, watched_until(timeline) - recovery.start, limit, since)
        return replace(finding, reason=f"{finding.reason}{why(last)}")

    def _settled(self, timeline: Timeline, sizes: list[_Size], recovery: Phase, wanted: int, limit: float) -> Finding:
        what, since = f"{self.of} settled to {wanted} replicas", "the start of the recovery phase"
        away = [index for index, size in enumerate(sizes) if size.is_away_from(wanted)]
        there = [index for index, size in enumerate(sizes) if size.is_at(wanted) and index > max(away, default=-1)]
        if not away:
            unknown = next((size.why for size in sizes if not size.is_at(wanted)), "")
            return inconclusive(f"{self.of} never had a number of replicas other than {wanted}{unknown}")
        if there and sizes[-1].is_at(wanted):
            unsure = [index for index, size in enumerate(sizes) if not size.is_at(wanted)]
            # An unknown number may have been the wanted one or not, so the bounds are before and after the last unknown
            # ones.
            low, high = sizes[there[0]].at, sizes[unsure[-1] + 1].at
            finding = within(
                what, Interval(max(0.0, low - recovery.start), max(0.0, high - recovery.start)), limit, since
            )
            # A gap that ended at ``high`` does not matter: the relist then showed the state of that instant. During a
            # later gap the number may have changed again.
            if finding.verdict is Verdict.HELD and states_lost(timeline, self._series, math.nextafter(high, math.inf)):
                missed = "but the watch was interrupted afterwards, so a later change may have been missed"
                return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {missed}")
            return finding
        if watch_open_ended(timeline, self._series):
            return inconclusive(f"the watch on {self._series} was interrupted before {self.of} settled")
        if not sizes[-1].is_away_from(wanted):
            return inconclusive(f"it is unknown whether {self.of} settled to {wanted} replicas{sizes[-1].why}")
        finding = never(what, watched_until(timeline) - recovery.start, limit, since)
        return replace(finding, reason=f"{finding.reason}; the last number was {sizes[-1]}{sizes[-1].why}")


def _in_force_at(found: list[CountSample], at: float) -> CountSample:
    # The two numbers change at different instants: the first value of one may be later than that of the other.
    return next((count for count in reversed(found) if count.at <= at), found[0])

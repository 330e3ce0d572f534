"""Outages as a clock saw them, and the rule that makes one recovery of them.

The recovery is the end of the last outage that belongs to the fault. A relapse belongs to it when it comes before the
recovery has held for the settle time, or in the settle phase itself, which is there to see it; others are another
matter, mentioned but not counted. Counting the first good moment would call a crash loop's first start a recovery.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from harness.observation import SETTLE, Interval, Timeline
from harness.quantities import show_seconds

ClockName = Literal["control plane", "endpoints", "user", "prometheus"]
State = Literal["recovered", "not disrupted", "not recovered", "no data"]
Since = Literal["injected", "undone"]

CLOCKS: tuple[ClockName, ...] = get_args(ClockName)
_SETTLE = 5.0  # seconds, for a timeline without a settle phase


@dataclass(frozen=True, slots=True)
class Outage:
    """A span in which a clock saw the workload disrupted, each end known within bounds, in timeline seconds.

    An outage that did not end while it was watched ends at ``inf``; ``ended.low`` is then how long it lasted at least.
    ``sign`` is the instant of its first sign, for charts and totals: an event's arrival, a failed request's start.
    ``likely`` is when it most likely began and ended, where a clock can tell better than by the high ends.
    """

    began: Interval
    ended: Interval
    sign: float
    likely: Interval | None = None

    @property
    def over(self) -> bool:
        return math.isfinite(self.ended.high)

    @property
    def length(self) -> Interval:
        """How long it lasted, in seconds: the true length lies within."""
        return Interval(max(0.0, self.ended.low - self.began.high), self.ended.high - self.began.low)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one clock says. ``length`` bounds the seconds from the origin to the recovery; its high end is infinite for
    "not recovered", and where what came after a silence may be the fault's and is not over; it is None without data.
    ``likely`` is the likeliest length within it. ``began`` and ``ended`` are timeline seconds."""

    clock: ClockName
    subject: str
    state: State
    length: Interval | None
    began: float | None
    ended: float | None
    reason: str
    likely: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where recovery counts from, and how far the run was watched. All in timeline seconds.

    ``disrupted`` brackets the disrupting calls: nothing before it is its doing. ``counted`` brackets what the recovery
    counts from: the same, or the undo. ``settle`` is how long a recovery must hold, ``settling`` when the settle phase
    began (infinite before it has).
    """

    since: Since
    disrupted: Interval
    counted: Interval
    settle: float
    settling: float
    until: float

    @property
    def undone(self) -> bool:
        return self.since == "undone"

    def length(self, ended: Interval) -> Interval:
        """Seconds from the origin to an end; a recovery before the undo took no time."""
        return Interval(max(0.0, ended.low - self.counted.high), max(0.0, ended.high - self.counted.low))


def origin_of(timeline: Timeline, since: Since) -> Origin | str:
    """The origin of a timeline, or the reason why there is none yet."""
    disrupted = timeline.injected()
    if disrupted is None:
        return "nothing was injected"
    counted = disrupted
    if since == "undone":
        undone = [injection.undone for injection in timeline.injections if injection.undone]
        if len(undone) < len(timeline.injections):
            return "the disruption was not undone"
        counted = Interval(min(bracket.low for bracket in undone), max(bracket.high for bracket in undone))
    phase = timeline.phase(SETTLE)
    settle = phase.end - phase.start if phase and math.isfinite(phase.end) else _SETTLE
    settling = phase.start if phase else math.inf
    return Origin(since, disrupted, counted, settle, settling, watched_until(timeline))


def watched_until(timeline: Timeline) -> float:
    """The last instant that the timeline tells anything about."""
    ends = [phase.end for phase in timeline.phases if math.isfinite(phase.end)]
    ends += [seen.at for seen in timeline]
    ends += [request.finished for request in timeline.requests]
    ends += [probe.finished for stream in timeline.probes for probe in stream.seen[-1:]]
    return max(ends, default=0.0)


def since_last(outages: Sequence[Outage], origin: Origin) -> float:
    """The earliest instant at which the next outage can have begun."""
    return outages[-1].ended.low if outages else origin.disrupted.low


def no_data(clock: ClockName, subject: str, reason: str) -> Recovery:
    """A clock that can say nothing, and why."""
    return Recovery(clock, subject, "no data", None, None, None, reason)


def not_disrupted(clock: ClockName, subject: str, blind: float, reason: str) -> Recovery:
    """A clock that saw no disruption; one shorter than ``blind`` seconds would have escaped it."""
    return Recovery(clock, subject, "not disrupted", Interval(0.0, blind), None, None, reason)


def conclude(
    clock: ClockName,
    subject: str,
    outages: Sequence[Outage],
    origin: Origin,
    *,
    least: Sequence[Outage] | None = None,
    most: Sequence[Outage] | None = None,
) -> Recovery:
    """The recovery that at least one outage, in order of time, amounts to.

    Where a clock did not look all the time, ``least`` are the outages if all was well whenever it did not, and ``most``
    if nothing was: the bounds are those of both.
    """
    counted = _belonging(outages, origin)
    shortest, longest = (_belonging(outages if read is None else read, origin) for read in (least, most))
    last = counted[-1]
    low, high = min(last.ended.low, shortest[-1].ended.low), max(last.ended.high, longest[-1].ended.high)
    length = origin.length(Interval(low, high))
    began = counted[0].sign
    sure = shortest == counted == longest
    in_all = _several(counted) if sure else _at_least_and_most(shortest, longest)
    if not last.over:
        seen = origin.length(last.ended).low
        reason = f"still down {show_seconds(seen)} {_after(origin)}, when last seen"
        return Recovery(clock, subject, "not recovered", length, began, None, reason + in_all)
    later = len(outages) - len(counted)
    ignored = f"; {later} later disrupted again, after {show_seconds(origin.settle)} of good, not counted"
    when = f"{show(length)} {_after(origin)}" if length.high > 0 else "before the undo"
    reason = f"back {when}" + in_all + (ignored if later else "")
    back = last.likely.high if last.likely else last.ended.high
    likely = max(0.0, back - (origin.counted.low + origin.counted.high) / 2)
    return Recovery(clock, subject, "recovered", length, began, last.ended.high, reason, likely)


def show(length: Interval) -> str:
    """Bounds for people: ``2.10 s to 3.05 s``, or ``2.10 s or more`` where nothing bounds them from above."""
    high = f"to {show_seconds(length.high)}" if math.isfinite(length.high) else "or more"
    return f"{show_seconds(length.low)} {high}"


def _belonging(outages: Sequence[Outage], origin: Origin) -> Sequence[Outage]:
    """The outages up to the last one that belongs to the fault."""
    last, chained = 0, True
    for index, (before, outage) in enumerate(pairwise(outages), 1):
        good_since = max(before.ended.high, origin.counted.low)
        chained = chained and outage.sign - good_since <= origin.settle
        if chained or outage.sign >= origin.settling:
            last = index
    return outages[: last + 1]


def _after(origin: Origin) -> str:
    return "after the undo" if origin.undone else "after the fault"


def _several(outages: Sequence[Outage]) -> str:
    if len(outages) == 1:
        return ""
    # An outage that never ended has failed at least up to its low end.
    total = sum((outage.ended.high if outage.over else outage.ended.low) - outage.sign for outage in outages)
    return f"; {len(outages)} outages, {show_seconds(max(0.0, total))} down in all, counted to the end of the last"


def _at_least_and_most(shortest: Sequence[Outage], longest: Sequence[Outage]) -> str:
    low = sum(outage.length.low for outage in shortest)
    high = sum(outage.length.high for outage in longest)
    most = f"and at most {show_seconds(high)}" if math.isfinite(high) else "or more"
    return f"; nothing was sent for a while, so it was down for at least {show_seconds(low)} {most} in all"

"""The outages seen by a clock, and the rule that derives one recovery from them.

The recovery is the end of the last outage that belongs to the fault. A relapse belongs to the fault if it starts before
the recovery has lasted for the settle time, or during the settle phase. Later ones are mentioned but not counted. Using
the end of the first outage instead would take the first start of a crash loop for a recovery. A workload that is down
at the end of the observation has not recovered, whenever it went down.

If faults are injected at several moments, an outage belongs to the latest moment before it began, and its recovery time
counts from that moment; the slowest recovery decides. An outage that may have begun before or after a moment has bounds
that cover both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

from harness.model.phase_names import SETTLE
from harness.model.quantities import counted as counted_noun
from harness.model.quantities import show_seconds
from harness.model.timeline import Injection, Interval, Timeline, around

ClockName = Literal["control plane", "endpoints", "user", "prometheus"]
State = Literal["recovered", "not disrupted", "not recovered", "no data"]
Since = Literal["injected", "undone"]

CLOCKS: tuple[ClockName, ...] = get_args(ClockName)
# The same as the default of ``Phases.settle``.
_SETTLE = 5.0  # seconds, for a timeline without a settle phase


@dataclass(frozen=True, slots=True)
class Outage:
    """A span of disruption seen by a clock, with bounds for its start and end, in timeline seconds.

    For an outage that had not ended at the end of the observation, ``ended.high`` is infinite and ``ended.low`` is a
    lower bound. ``sign`` is the time of its first sign, for charts and totals: the arrival of an event or the start of
    a failed request. ``likely`` has the most likely start and end, if the clock has a better estimate than the high
    bounds.
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
        """The bounds of its length in seconds."""
        return Interval(max(0.0, self.ended.low - self.began.high), self.ended.high - self.began.low)


@dataclass(frozen=True, slots=True)
class Recovery:
    """The result of one clock.

    ``length`` has the bounds of the seconds from the origin to the recovery. Its high bound is infinite for "not
    recovered" and if later states are missing; without data it is None. ``likely`` is the most likely length. ``began``
    and ``ended`` are timeline seconds. ``since`` is the origin of the length, and ``judged`` is whether an objective
    uses this clock.
    """

    clock: ClockName
    subject: str
    state: State
    length: Interval | None
    began: float | None
    ended: float | None
    reason: str
    likely: float | None = None
    since: Since = "injected"
    judged: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant at which faults were injected: the times before and after the disrupting calls (``disrupted``), and
    before and after the event that starts the recovery time (``counted``): the same calls, or the undo."""

    disrupted: Interval
    counted: Interval


@dataclass(frozen=True, slots=True)
class Origin:
    """The start of the recovery time and the end of the observation, in timeline seconds.

    ``disrupted`` and ``counted`` cover those of all ``moments``, in order. ``which`` says which moments are meant, if
    there are others. ``settle`` is how long a recovery must last, ``settling`` the start of the settle phase (infinite
    before it has started), ``until`` the end of the observation.
    """

    since: Since
    disrupted: Interval
    counted: Interval
    settle: float
    settling: float
    until: float
    moments: tuple[Moment, ...] = ()
    which: str = ""

    @property
    def undone(self) -> bool:
        return self.since == "undone"

    def length(self, ended: Interval) -> Interval:
        """Return the seconds from the origin to an end; 0 for a recovery before the undo."""
        return Interval(max(0.0, ended.low - self.counted.high), max(0.0, ended.high - self.counted.low))

    def causes(self, outage: Outage) -> range:
        """Return the indexes of the moments to one of which an outage belongs: several if its start is uncertain."""
        certain = [number for number, each in enumerate(self.moments) if each.disrupted.low <= outage.began.low]
        possible = [number for number, each in enumerate(self.moments) if each.disrupted.low <= outage.began.high]
        first = max(certain, default=0)
        return range(first, max([first, *possible]) + 1)

    def of_moments(self, numbers: range) -> Origin:
        """Return the origin for outages that belong to one of these moments."""
        if len(self.moments) <= 1:
            return self
        some = [self.moments[number] for number in numbers]
        of = " or ".join(str(number + 1) for number in numbers)
        return replace(
            self,
            disrupted=around([each.disrupted for each in some]),
            counted=around([each.counted for each in some]),
            which=f" (injection {of} of {len(self.moments)})",
        )


def origin_of(timeline: Timeline, since: Since) -> Origin | str:
    """Return the origin of a timeline, or the reason why there is none yet."""
    if not timeline.injections:
        return "no fault was injected"
    if since == "undone" and not all(injection.undone for injection in timeline.injections):
        return "the disruption was not undone"
    moments = tuple(_moment(injections, since) for injections in timeline.moments())
    disrupted = around([moment.disrupted for moment in moments])
    counted = around([moment.counted for moment in moments])
    phase = timeline.phase(SETTLE)
    # A phase that has not ended has an infinite end.
    settle = phase.end - phase.start if phase and math.isfinite(phase.end) else _SETTLE
    settling = phase.start if phase else math.inf
    return Origin(since, disrupted, counted, settle, settling, watched_until(timeline), moments)


def _moment(injections: Sequence[Injection], since: Since) -> Moment:
    disrupted = around([injection.injected for injection in injections])
    undone = [injection.undone for injection in injections if injection.undone]
    return Moment(disrupted, around(undone) if since == "undone" else disrupted)


def watched_until(timeline: Timeline) -> float:
    """Return the last instant with any data on the timeline."""
    ends = [phase.end for phase in timeline.phases if math.isfinite(phase.end)]
    ends += [seen.at for seen in timeline]
    ends += [float(timeline.requests.finished.max())] if timeline.requests else []
    ends += [stream.seen[-1].finished for stream in timeline.probes if stream.seen]
    return max(ends, default=0.0)


def since_last(outages: Sequence[Outage], origin: Origin, seen: float = -math.inf) -> float:
    """Return the earliest possible start of the next outage.

    ``seen`` is when a watch showed it: what is seen after an injection is not older than that injection, as the first
    outage is not older than the fault.
    """
    earlier = outages[-1].ended.low if outages else origin.disrupted.low
    return max([earlier, *(each.disrupted.low for each in origin.moments if each.disrupted.low <= seen)])


def no_data(clock: ClockName, subject: str, reason: str) -> Recovery:
    """Return the result of a clock without usable data, with the reason."""
    return Recovery(clock, subject, "no data", None, None, None, reason)


def not_disrupted(clock: ClockName, subject: str, blind: float, reason: str) -> Recovery:
    """Return the result of a clock that saw no disruption; it cannot see one shorter than ``blind`` seconds."""
    return Recovery(clock, subject, "not disrupted", Interval(0.0, blind), None, None, reason)


def conclude(
    clock: ClockName,
    subject: str,
    outages: Sequence[Outage],
    origin: Origin,
    *,
    least: Sequence[Outage] | None = None,
    most: Sequence[Outage] | None = None,
    since: Callable[[Outage], float] | None = None,
) -> Recovery:
    """Derive the recovery from one or more outages in order of time.

    For a clock with interruptions, ``least`` are the outages if the service was up during all of them, and ``most`` if
    it was down; the bounds cover both. ``since`` returns when the service may already have been back, if
    the last few failures of an outage have another cause than the fault.
    """
    given, up, down = (_by_cause(found, origin) for found in (outages, least or (), most or ()))
    # The slowest decides. An outage that is one only if the service was down meanwhile may belong to another moment.
    results = [
        _conclude(
            clock,
            subject,
            given.get(key) or down[key],
            origin.of_moments(range(*key)),
            least=up.get(key),
            most=down.get(key),
            since=since,
        )
        for key in sorted({*given, *down})
    ]
    return max(results, key=lambda found: (found.length.high, found.length.low) if found.length else (0.0, 0.0))


def _by_cause(outages: Sequence[Outage], origin: Origin) -> dict[tuple[int, int], list[Outage]]:
    """Group outages by the moments that they may belong to, given as the first and the index after the last."""
    found: dict[tuple[int, int], list[Outage]] = {}
    for outage in outages:
        numbers = origin.causes(outage)
        found.setdefault((numbers.start, numbers.stop), []).append(outage)
    return found


def _conclude(
    clock: ClockName,
    subject: str,
    outages: Sequence[Outage],
    origin: Origin,
    *,
    least: Sequence[Outage] | None,
    most: Sequence[Outage] | None,
    since: Callable[[Outage], float] | None,
) -> Recovery:
    """Derive the recovery from outages that belong to the same moments."""
    counted = _belonging(outages, origin)
    shortest, longest = (_belonging(outages if other is None else other, origin) for other in (least, most))
    last = counted[-1]
    low, high = min(last.ended.low, shortest[-1].ended.low), max(last.ended.high, longest[-1].ended.high)
    back = since(last) if since else last.ended.low
    strays = "; a few failures at the end may have another cause" if back < low else ""
    length = origin.length(Interval(min(low, back), high))
    began = counted[0].sign
    certain = shortest == counted == longest
    total = _several(counted) if certain else _at_least_and_most(shortest, longest)
    if not last.over:
        seen = origin.length(last.ended).low
        reason = f"still down {show_seconds(seen)} {_after(origin)}, when last seen"
        return Recovery(clock, subject, "not recovered", length, began, None, reason + total)
    later = len(outages) - len(counted)
    settled = f"after {show_seconds(origin.settle)} without disruption"
    ignored = f"; {counted_noun(later, 'later outage')} {settled} not counted"
    when = f"{show(length)} {_after(origin)}" if length.high > 0 else "before the undo"
    reason = f"back {when}" + total + strays + (ignored if later else "")
    back = last.likely.high if last.likely else last.ended.high
    # The disrupting call took effect at some time within its bracket; without further knowledge the middle is most
    # likely.
    likely = max(0.0, back - (origin.counted.low + origin.counted.high) / 2)
    return Recovery(clock, subject, "recovered", length, began, last.ended.high, reason, likely)


def show(length: Interval) -> str:
    """Format bounds: ``2.10 s to 3.05 s``."""
    return f"{show_seconds(length.low)} to {show_seconds(length.high)}"


def _belonging(outages: Sequence[Outage], origin: Origin) -> Sequence[Outage]:
    """Return the outages up to the last one that belongs to the fault; all of them if the last one is not over."""
    if not outages[-1].over:
        return outages
    last, chained = 0, True
    for index, (before, outage) in enumerate(pairwise(outages), 1):
        good_since = max(before.ended.high, origin.counted.low)
        chained = chained and outage.sign - good_since <= origin.settle
        if chained or outage.sign >= origin.settling:
            last = index
    return outages[: last + 1]


def _after(origin: Origin) -> str:
    return ("after the undo" if origin.undone else "after the fault") + origin.which


def _several(outages: Sequence[Outage]) -> str:
    if len(outages) == 1:
        return ""
    # For an outage that is not over, the low bound of its end is the last time it was seen down.
    total = sum((outage.ended.high if outage.over else outage.ended.low) - outage.sign for outage in outages)
    return f"; {len(outages)} outages, {show_seconds(max(0.0, total))} down in total, measured to the end of the last"


def _at_least_and_most(shortest: Sequence[Outage], longest: Sequence[Outage]) -> str:
    low = sum(outage.length.low for outage in shortest)
    high = sum(outage.length.high for outage in longest)
    most = f"and at most {show_seconds(high)}" if math.isfinite(high) else "or more"
    return f"; nothing was sent for a while, so it was down for at least {show_seconds(low)} {most} in total"

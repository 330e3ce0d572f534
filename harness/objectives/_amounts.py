"""Amounts of CPU and memory that must come within bounds in time, and stay there while the faults last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.model.amounts import AmountRange, show_amount
from harness.model.finding import Finding
from harness.model.phase_names import FAULT
from harness.model.timeline import Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._findings import inconclusive, never, within
from harness.objectives._limits import MISSED_STATES
from harness.objectives._series import in_force
from harness.objectives.recovery import watched_until
from harness.objectives.recovery.gaps import states_lost, watch_open_ended

_WHAT, _SINCE = "within the bounds", "the start of the fault phase"


@dataclass(frozen=True, slots=True)
class Level:
    """Whether all amounts are within their bounds, and what they are, in force from an instant on.

    ``good`` is None if that is unknown. What is unknown only for a while counts as not within the bounds.
    """

    at: float
    good: bool | None
    shown: str


def level(at: float, amounts: Mapping[str, float], bounds: Mapping[str, AmountRange]) -> Level:
    """Return whether the amounts of one container are within the bounds. A missing amount is not."""
    shown = [f"{show_amount(name, amounts[name])} {name}" if name in amounts else f"no {name}" for name in bounds]
    good = all(name in amounts and bound.contains(amounts[name]) for name, bound in bounds.items())
    return Level(at, good, ", ".join(shown))


def bounds_of(cpu: AmountRange | None, memory: AmountRange | None) -> dict[str, AmountRange]:
    """Return the bounds that are given, by resource."""
    return {name: bound for name, bound in (("cpu", cpu), ("memory", memory)) if bound is not None}


def during_fault(timeline: Timeline, levels: Sequence[Level]) -> list[Level]:
    """Return the level in force at the start of the fault phase and all later ones of that phase."""
    fault = timeline.phase(FAULT)
    return [] if fault is None else in_force(levels, fault.start, fault.end)


def settled(timeline: Timeline, series: str, levels: Sequence[Level], limit: float) -> Finding:
    """Judge that amounts came within their bounds in time, and then stayed there until the end of the fault phase.

    ``limit`` is in seconds from the start of the fault phase.
    """
    fault, seen = timeline.phase(FAULT), during_fault(timeline, levels)
    if fault is None or not seen:
        return inconclusive("nothing was observed in the fault phase")
    last, bad = seen[-1], [index for index, each in enumerate(seen) if not each.good]
    if last.good is None:
        return inconclusive(last.shown)
    if not last.good:
        if watch_open_ended(timeline, series):
            return inconclusive(f"the watch on {series} was interrupted before the amounts were within their bounds")
        found = never(_WHAT, min(watched_until(timeline), fault.end) - fault.start, limit, _SINCE)
        left = "" if len(bad) == len(seen) else ", after it had been within the bounds"
        return replace(found, reason=f"{found.reason}; at the end: {last.shown}{left}")
    first = seen[bad[-1] + 1] if bad else seen[0]
    took = max(0.0, first.at - fault.start)
    found = within(_WHAT, Interval(took, took), limit, _SINCE)
    reason = f"{found.reason}; at the end: {last.shown}"
    if found.verdict is Verdict.HELD and states_lost(timeline, series, fault.start):
        return replace(found, verdict=Verdict.INCONCLUSIVE, reason=f"{reason}, {MISSED_STATES}")
    return replace(found, reason=reason)

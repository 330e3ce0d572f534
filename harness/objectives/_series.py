"""The values of one subject of a series over time: each is in force from an instant until the next one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.model.quantities import show_seconds
from harness.model.reported import Reported, Status, Unknown
from harness.model.timeline import Observation, Timeline


class Dated(Protocol):
    """Anything with an instant."""

    @property
    def at(self) -> float: ...


D = TypeVar("D", bound=Dated)


def values(timeline: Timeline, series: str, subject: str) -> list[Observation]:
    """Return the observations of a subject whose value is a mapping, in order, without errors and gaps."""
    return [
        seen
        for seen in timeline.observations(series, subject)
        if seen.error is None and isinstance(seen.value, Mapping)
    ]


def last_before(seen: Sequence[D], instant: float) -> D | None:
    """Return the value in force just before an instant, or None."""
    return next((one for one in reversed(seen) if one.at < instant), None)


def in_force(seen: Sequence[D], start: float, end: float = float("inf")) -> list[D]:
    """Return the value in force at ``start`` (if there was one) and all values from then to ``end``."""
    before = last_before(seen, start)
    during = [one for one in seen if start <= one.at <= end]
    return [before, *during] if before else during


@dataclass(frozen=True, slots=True)
class CountSample:
    """A number of an object, possibly unknown, that is in force from an instant on."""

    at: float
    number: Reported
    status: Status | None = None


# A number that is unknown for at most this many seconds between two known ones is ignored. A controller is behind for a
# moment after every change, and an autoscaler evaluates every 15 s by default, so one failed evaluation is harmless.
_LAPSE = {"autoscalers": 20.0, "workloads": 5.0}
# In the message of an autoscaler that cannot compute a utilization: only a change of the pods' template ends that.
_LASTING = "missing request for"


def statuses(timeline: Timeline, series: str, subject: str) -> list[Status]:
    """Return all observations of a workload or an autoscaler, in order."""
    return [Status(subject, seen.at, seen.value) for seen in values(timeline, series, subject)]


def counts(seen: Sequence[Status], series: str, key: str) -> list[CountSample]:
    """Return one number of an object over time, without short unknown periods between two known numbers."""
    return _without_lapses([CountSample(each.at, each.count(key), each) for each in seen], _LAPSE[series])


def unknown_now(timeline: Timeline, series: str, subject: str, keys: Iterable[str]) -> str:
    """Return why a number of an object is unknown in its last observation, for a reason that may pass by itself.

    Empty if all are known or the object was never observed.
    """
    last = statuses(timeline, series, subject)[-1:]
    found = (status.count(key) for status in last for key in keys)
    reasons = (number.reason for number in found if isinstance(number, Unknown))
    return next((reason for reason in reasons if _LASTING not in reason), "")


def between(found: Sequence[CountSample], of: str, start: float, end: float = math.inf) -> list[CountSample]:
    """Return the number in force at ``start`` and every change from then to ``end``.

    Empty if there is no observation in that time. Starts with Unknown if the first one is later than ``start``.
    """
    known = in_force(found, start, end)
    if known and known[0].at > start:
        return [CountSample(start, Unknown(f"{of} was first seen at {show_seconds(known[0].at)}")), *known]
    return known


def _without_lapses(found: Sequence[CountSample], longest: float) -> list[CountSample]:
    kept: list[CountSample] = []
    began: int | None = None
    for count in found:
        if isinstance(count.number, Unknown):
            # An unknown number before the first known one is kept, because nothing is known about the time before it.
            began = len(kept) if began is None and kept else began
            # A deleted object has a certain number (0), so this is not a short unknown period.
            began = None if count.number.counted is not None else began
        elif began is not None:
            if count.at - kept[began].at <= longest:
                del kept[began:]
            began = None
        kept.append(count)
    return kept

"""One subject of one series as a judge reads it: the values in force from an instant on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from harness.observation import Observation, Timeline


class Dated(Protocol):
    """Anything that was seen at an instant."""

    @property
    def at(self) -> float: ...


D = TypeVar("D", bound=Dated)


def values(timeline: Timeline, series: str, subject: str) -> list[Observation]:
    """The observations of a subject that hold a mapping, in order; errors and gaps are left out."""
    return [
        seen
        for seen in timeline.observations(series, subject)
        if seen.error is None and isinstance(seen.value, Mapping)
    ]


def last_before(seen: Sequence[D], instant: float) -> D | None:
    """What was in force at an instant."""
    return next((one for one in reversed(seen) if one.at < instant), None)


def in_force(seen: Sequence[D], start: float, end: float = float("inf")) -> list[D]:
    """What was in force at ``start`` (if anything was) and everything seen from then to ``end``."""
    before = last_before(seen, start)
    during = [one for one in seen if start <= one.at <= end]
    return [before, *during] if before else during


def number(seen: Observation, key: str) -> int:
    """A count, where an absent one is 0, as the API leaves zeros out."""
    value: Any = seen.value.get(key)
    return int(value or 0)

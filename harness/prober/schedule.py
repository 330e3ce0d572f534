"""When probes are due: at whole multiples of the period after the stream's first, whatever happened to those before.

Computed from the number and never added up, so that nothing drifts; and blind to how long probes take.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Schedule:
    """The intended starts of one stream, on CLOCK_MONOTONIC or any other axis of seconds."""

    first: float
    period: float
    _number: int = 0

    @property
    def next(self) -> float:
        """The next intended start."""
        return self.first + self._number * self.period

    def due(self, now: float) -> list[float]:
        """The intended starts that have come by now, each told once."""
        found = []
        while self.next <= now:
            found.append(self.next)
            self._number += 1
        return found


def staggered(start: float, periods: list[float]) -> list[Schedule]:
    """A schedule for each period. The first probes are spread over the period: streams of one rate that were due at the
    same instants would wait for each other."""
    count = len(periods)
    return [Schedule(start + period * index / count, period) for index, period in enumerate(periods)]

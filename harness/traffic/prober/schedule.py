"""The schedule of probes: at whole multiples of the period after the stream's first probe.

Times are computed from the probe's number and not summed up, so the schedule does not drift. It does not depend on how
long probes take.
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
        """Return the intended starts up to ``now`` that earlier calls have not returned."""
        found = []
        while self.next <= now:
            found.append(self.next)
            self._number += 1
        return found


def staggered(start: float, periods: list[float]) -> list[Schedule]:
    """Return a schedule for each period, with staggered first probes.

    Otherwise the probes of streams with the same rate would always be due at the same time and delay each other.
    """
    count = len(periods)
    return [Schedule(start + period * index / count, period) for index, period in enumerate(periods)]

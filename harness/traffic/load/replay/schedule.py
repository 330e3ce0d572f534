"""The arrivals of a replay: the recorded times, faster or slower, from the start of the baseline on."""

from __future__ import annotations

from collections.abc import Sequence


class ReplaySchedule:
    """The intended starts of a recording that starts again after ``period`` seconds; see ``ArrivalSchedule``.

    The phases change nothing, but for the first one, which starts it. ``speed`` divides all times.
    """

    def __init__(self, at: Sequence[float], period: float, speed: float) -> None:
        self._at, self._period, self._speed = at, period, speed
        self._start: float | None = None
        self._number = 0
        self._last: float | None = None

    def enter(self, phase: str, at: float, effective: float | None = None) -> None:
        """Start at the first phase; both times are monotonic seconds."""
        del phase
        if self._start is None:
            self._start = self._last = at if effective is None else effective

    @property
    def last(self) -> float | None:
        """The last intended start taken, or the start of the first phase; None before that."""
        return self._last

    def peek(self) -> float | None:
        """Return the next intended start, or None before the first phase."""
        if self._start is None:
            return None
        rounds, index = divmod(self._number, len(self._at))
        return self._start + (rounds * self._period + self._at[index]) / self._speed

    def take(self) -> float | None:
        """Return the next intended start and advance past it; None if there is none."""
        due = self.peek()
        if due is not None:
            self._last = due
            self._number += 1
        return due

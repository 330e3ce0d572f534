"""When arrivals are due: the next intended start is where the integral of the rate since the last one reaches 1.

Exact for the linear pieces of a profile (a quadratic, solved in closed form), so nothing drifts over hours, and blind
to how long requests take: a slow service does not slow its load down (no coordinated omission).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from harness.load.profile import Point, Profile

# Seconds. What changes quicker is a jump: its slope could be infinite, and a clock tells nothing finer.
JUMP = 1e-6


@dataclass(frozen=True, slots=True)
class _Piece:
    """A linear piece of the rate: ``rate`` at ``start``, changing by ``slope`` a second, until ``end``."""

    start: float
    end: float
    rate: float
    slope: float

    def from_time(self, time: float) -> _Piece:
        """What is left of the piece at a time within it."""
        return _Piece(time, self.end, max(0.0, self.rate + self.slope * (time - self.start)), self.slope)

    @property
    def area(self) -> float:
        """Arrivals due in the piece: the area under it."""
        if math.isinf(self.end):
            return math.inf if self.rate > 0 else 0.0
        length = self.end - self.start
        return max(0.0, (self.rate + self.slope * length / 2) * length)

    def time_of(self, area: float) -> float:
        """When this much of the area has passed, given that the piece has as much.

        The root of ``rate*x + slope*x²/2 = area`` in the form that does not cancel when the slope is small.
        """
        root = math.sqrt(max(0.0, self.rate**2 + 2 * self.slope * area))
        return min(self.end, self.start + 2 * area / (self.rate + root))


class ArrivalSchedule:
    """Intended starts, on CLOCK_MONOTONIC or any other axis of seconds. Nothing is due before a phase was entered."""

    def __init__(self, profile: Profile, rate: float) -> None:
        self._profile = profile
        self._rate = rate
        self._segments: list[tuple[float, tuple[Point, ...]]] = []
        self._from = 0.0
        self._owed = 1.0
        self._next: float | None = None
        # The piece of the last arrival, in which the next one lies as a rule.
        self._piece: _Piece | None = None

    def enter(self, phase: str, at: float) -> None:
        """The experiment enters a phase at an instant, which may lie ahead or a little behind.

        What already arrived stays arrived: a switch that becomes known late changes only what comes after the last
        arrival. A phase that the profile does not name changes nothing, unless it is the first.
        """
        if self._segments and not self._profile.names(phase):
            return
        if not self._segments:
            self._from = at
        self._segments = [(start, curve) for start, curve in self._segments if start < at]
        self._segments.append((at, self._profile.curve(phase)))
        self._next = self._piece = None

    def peek(self) -> float | None:
        """The next intended start, or None while none is ahead (a rate of zero that holds)."""
        if self._next is None and self._segments:
            self._next = self._solve()
        return self._next

    def take(self) -> float | None:
        """The next intended start, which is then the last one."""
        due = self.peek()
        if due is not None:
            self._from, self._owed, self._next = due, 1.0, None
        return due

    def _solve(self) -> float | None:
        if self._piece is not None:
            left = self._piece.from_time(self._from)
            if left.area >= self._owed:
                return left.time_of(self._owed)
        owed = self._owed
        for piece in self._pieces():
            if piece.end <= self._from:
                continue
            left = piece.from_time(max(self._from, piece.start))
            if left.area >= owed:
                self._piece = piece
                return left.time_of(owed)
            owed -= left.area
        return None

    def _pieces(self) -> Iterator[_Piece]:
        ends = [start for start, _ in self._segments[1:]] + [math.inf]
        for (start, curve), end in zip(self._segments, ends, strict=True):
            for piece in self._curve_pieces(start, curve):
                if piece.start < end:
                    yield _Piece(piece.start, min(piece.end, end), piece.rate, piece.slope)

    def _curve_pieces(self, start: float, curve: tuple[Point, ...]) -> Iterator[_Piece]:
        for left, right in pairwise(curve):
            if right.at - left.at > JUMP:
                slope = self._rate * (right.share - left.share) / (right.at - left.at)
                yield _Piece(start + left.at, start + right.at, self._rate * left.share, slope)
        yield _Piece(start + curve[-1].at, math.inf, self._rate * curve[-1].share, 0.0)

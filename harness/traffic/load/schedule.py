"""The arrival schedule: the next intended start is when the integral of the rate since the last one reaches 1.

Each linear piece of a profile gives a quadratic equation that is solved exactly, so the schedule does not drift over
hours. It does not depend on how long requests take: a slow service does not reduce its load (no coordinated omission).
"""

from __future__ import annotations

import copy
import math
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise, takewhile
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    # Not imported when it runs: the interpreter of a user's locustfile has only the standard library.
    from harness.traffic.load.profile import Point, Profile

# A change within fewer seconds than this is treated as a jump: its slope could overflow, and clocks are not finer.
JUMP = 1e-6


@dataclass(frozen=True, slots=True)
class _Piece:
    """A linear piece of the rate: ``rate`` at ``start``, changing by ``slope`` per second, until ``end``."""

    start: float
    end: float
    rate: float
    slope: float

    def from_time(self, time: float) -> _Piece:
        """Return the rest of the piece from ``time`` on."""
        return _Piece(time, self.end, max(0.0, self.rate + self.slope * (time - self.start)), self.slope)

    @property
    def area(self) -> float:
        """The number of arrivals in the piece: the area under it."""
        if math.isinf(self.end):
            return math.inf if self.rate > 0 else 0.0
        length = self.end - self.start
        return max(0.0, (self.rate + self.slope * length / 2) * length)

    def time_of(self, area: float) -> float:
        """Return the time when ``area`` arrivals have become due; the piece must have that many.

        Solves ``rate*x + slope*x²/2 = area`` in the form that avoids cancellation when the slope is small.
        """
        root = math.sqrt(max(0.0, self.rate**2 + 2 * self.slope * area))
        return min(self.end, self.start + 2 * area / (self.rate + root))


class ArrivalSchedule:
    """The intended starts of arrivals, on CLOCK_MONOTONIC or any other axis in seconds.

    There are none before the first call of ``enter``.
    """

    def __init__(self, profile: Profile, rate: float) -> None:
        self._profile = profile
        self._rate = rate
        # Each curve with its zero on the time axis, and the time from which it applies.
        self._segments: list[_Segment] = []
        self._from = 0.0
        # The area that is missing until the next arrival.
        self._missing = 1.0
        self._next: float | None = None
        # The piece of the last arrival, which usually contains the next one too.
        self._piece: _Piece | None = None

    def enter(self, phase: str, at: float, effective: float | None = None) -> None:
        """Switch to the curve of a phase, whose zero is ``at``; it applies from ``effective`` on (default: ``at``).

        Both may be in the future or slightly in the past. A switch in the past affects only the arrivals after the last
        one taken. A phase without a curve changes nothing, unless it is the first.
        """
        if self._segments and not self._profile.names(phase):
            return
        applies = at if effective is None else effective
        if not self._segments:
            self._from = applies
        self._segments = [segment for segment in self._segments if segment.applies < applies]
        curve, repeat = self._profile.curve(phase), self._profile.repeat_of(phase)
        self._segments.append(_Segment(at, applies, self._rate, curve, repeat))
        self._next = self._piece = None

    @property
    def last(self) -> float | None:
        """The last intended start taken, or the start of the first phase; None before that."""
        return self._from if self._segments else None

    def peek(self) -> float | None:
        """Return the next intended start, or None if there is none (the rate stays at 0)."""
        if self._next is None and self._segments:
            self._next = self._solve()
        return self._next

    def take(self) -> float | None:
        """Return the next intended start and advance past it; None if there is none."""
        due = self.peek()
        if due is not None:
            self._from, self._missing, self._next = due, 1.0, None
        return due

    def due_between(self, start: float, end: float) -> float:
        """Return the number of arrivals that are due between two times, as a fraction: the area under the rate."""
        # Not a filter: the pieces of a curve that repeats have no end.
        pieces = takewhile(lambda piece: piece.start < end, self._pieces(start))
        parts = (
            replace(piece, end=min(piece.end, end)).from_time(max(piece.start, start))
            for piece in pieces
            if piece.end > start
        )
        return sum(part.area for part in parts)

    def _solve(self) -> float | None:
        if self._piece is not None:
            left = self._piece.from_time(self._from)
            if left.area >= self._missing:
                return left.time_of(self._missing)
        missing = self._missing
        for piece in self._pieces(self._from):
            if piece.end <= self._from:
                continue
            left = piece.from_time(max(self._from, piece.start))
            if left.area >= missing:
                self._piece = piece
                return left.time_of(missing)
            missing -= left.area
        return None

    def _pieces(self, since: float) -> Iterator[_Piece]:
        """Yield the linear pieces of the rate in order, without end if a curve repeats; some before ``since`` too."""
        ends = [segment.applies for segment in self._segments[1:]] + [math.inf]
        for segment, end in zip(self._segments, ends, strict=True):
            for piece in segment.pieces(since):
                if piece.start >= end:
                    break
                if piece.end > segment.applies:
                    clipped = _Piece(piece.start, min(piece.end, end), piece.rate, piece.slope)
                    yield clipped if piece.start >= segment.applies else clipped.from_time(segment.applies)


class _Segment:
    """A curve on the time axis: its zero is ``start``, and it applies from ``applies`` on.

    After its last point it repeats its last ``repeat`` seconds, or keeps its last value if that is 0.
    """

    def __init__(self, start: float, applies: float, rate: float, curve: tuple[Point, ...], repeat: float) -> None:
        self.start, self.applies = start, applies
        self._repeat, self._end, self._last = repeat, curve[-1].at, rate * curve[-1].share
        # Computed once, since the schedule looks for the next piece while requests are due.
        self._own = [
            _Piece(left.at, right.at, rate * left.share, rate * (right.share - left.share) / (right.at - left.at))
            for left, right in pairwise(curve)
            if right.at - left.at > JUMP
        ]
        first = self._end - repeat
        left_over = (piece for piece in self._own if piece.end - first > JUMP)
        self._again = [piece if piece.start >= first else piece.from_time(first) for piece in left_over]

    def pieces(self, since: float) -> Iterator[_Piece]:
        """Yield the linear pieces in order; those that ended before ``since`` may be left out."""
        yield from _moved(self._own, self.start, since)
        if not self._repeat:
            yield _Piece(self.start + self._end, math.inf, self._last, 0.0)
            return
        # Every time is computed from the number of its period, not from the one before it: nothing adds up over hours.
        for number in count(max(1, math.floor((since - self.start - self._end) / self._repeat))):
            yield from _moved(self._again, self.start + number * self._repeat, since)


def _moved(pieces: Sequence[_Piece], zero: float, since: float) -> Iterator[_Piece]:
    for index in range(bisect_left(pieces, since - zero, key=lambda piece: piece.end), len(pieces)):
        piece = pieces[index]
        yield replace(piece, start=zero + piece.start, end=zero + piece.end)


class Schedule(Protocol):
    """The intended starts of arrivals; a shallow copy continues on its own. See ``ArrivalSchedule``."""

    def enter(self, phase: str, at: float, effective: float | None = None) -> None: ...

    @property
    def last(self) -> float | None: ...

    def peek(self) -> float | None: ...

    def take(self) -> float | None: ...


class ArrivalShare:
    """The arrivals of one of ``workers`` processes: arrival i of the schedule, from 0, belongs to worker i mod workers.

    Every worker computes the whole schedule, so the workers need no communication, and together they start exactly the
    arrivals of a single worker, at the same times. This requires that all of them apply a switch before its effective
    time: see ``enter``.
    """

    def __init__(self, schedule: Schedule, worker: int = 0, workers: int = 1) -> None:
        self._worker, self._workers = worker, workers
        # The schedule after the last own arrival, and the state that is ahead of it, before the next own arrival.
        self._taken = self._ahead = _Counted(schedule)

    def enter(self, phase: str, at: float, effective: float | None = None) -> bool:
        """See ``ArrivalSchedule.enter``. Return whether the switch was in time: no later arrival has been taken yet."""
        last = self._taken.schedule.last
        self._taken.schedule.enter(phase, at, effective)
        self._ahead = self._taken
        return last is None or last <= (at if effective is None else effective)

    def peek(self) -> float | None:
        """Return the next intended start of this worker, or None if there is none."""
        if self._ahead.number % self._workers != self._worker:
            self._ahead = self._ahead.advanced(lambda number, _: number % self._workers != self._worker)
        return self._ahead.schedule.peek()

    def take(self) -> int:
        """Advance past the next arrival of this worker and return its number in the whole schedule, from 1."""
        self.peek()
        self._taken = self._ahead
        self._taken.take()
        return self._taken.number

    def total(self, end: float) -> tuple[int, int]:
        """Return the number of arrivals of all workers up to ``end``, and a checksum of their intended starts."""
        done = self._taken.advanced(lambda _, due: due <= end)
        return done.number, done.checksum


@dataclass(slots=True)
class _Counted:
    """A schedule with the number of the arrivals taken from it and a checksum of their intended starts."""

    schedule: Schedule
    number: int = 0
    checksum: int = 0

    def take(self) -> None:
        due = self.schedule.take()
        if due is not None:
            self.number += 1
            self.checksum = zlib.crc32(struct.pack("<d", due), self.checksum)

    def advanced(self, skips: Callable[[int, float], bool]) -> _Counted:
        """Return a copy that has taken the arrivals for which ``skips(number of arrivals before it, due)`` is true."""
        ahead = _Counted(copy.copy(self.schedule), self.number, self.checksum)
        while (due := ahead.schedule.peek()) is not None and skips(ahead.number, due):
            ahead.take()
        return ahead

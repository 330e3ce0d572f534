"""The memory of requests: a growing array for each field, see ``harness.model.requests``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from mmap import mmap
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Indexes: TypeAlias = NDArray[np.intp]

# Bytes of an array from which on it has a mapping of its own.
_MAPPED = 1 << 20

# Intended start, actual start, end, whether it was good, outcome, name and key, as in RequestSample.
Row: TypeAlias = tuple[float, float, float, bool, str, str, str]


class Column:
    """An array with room to grow. Memory that was never written to costs nothing, so the room doubles."""

    def __init__(self, kind: type[Any]) -> None:
        self._room: NDArray[Any] = _room(0, np.dtype(kind))

    def write(self, used: int, values: Sequence[Any] | NDArray[Any]) -> None:
        """Append values after the first ``used`` ones."""
        size = used + len(values)
        if size > len(self._room):
            room = _room(max(size, 2 * len(self._room)), self._room.dtype)
            # Into new memory: a view keeps the old one.
            room[:used] = self._room[:used]
            self._room = room
        self._room[used:size] = values

    @property
    def values(self) -> NDArray[Any]:
        return self._room


def _room(size: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """Return zeros. Many of them are mapped on their own: what is no longer used goes back to the system at once.

    The allocator would keep it, in pieces too small for the next, larger array."""
    length = size * kind.itemsize
    return np.frombuffer(mmap(-1, length), kind) if length >= _MAPPED else np.zeros(size, kind)


class Words:
    """Texts of which there are few different ones: a number for each, in the order in which they appeared."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        found = self.numbers.get(text)
        if found is None:
            found = self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return found


class Keys:
    """The keys of requests, all in one string of bytes. Without any key they need no memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends: Column | None = None

    def write(self, used: int, keys: Sequence[str]) -> None:
        if self._ends is None:
            if not any(keys):
                return
            self._ends = Column(np.int64)
            self._ends.write(0, np.zeros(used, np.int64))
        ends, at = [], len(self._bytes)
        for key in keys:
            encoded = key.encode()
            self._bytes += encoded
            at += len(encoded)
            ends.append(at)
        self._ends.write(used, ends)

    def lengths(self, rows: slice | Indexes, size: int) -> Indexes:
        """Return the number of bytes of each key; ``size`` is the number of requests."""
        if self._ends is None:
            return np.zeros(size, np.intp)[rows]
        return np.diff(self._ends.values[:size], prepend=0)[rows]

    def texts(self, rows: Indexes) -> list[str]:
        if self._ends is None:
            return [""] * len(rows)
        ends = self._ends.values
        begins = np.where(rows > 0, ends[rows - 1], 0)
        spans = zip(begins.tolist(), ends[rows].tolist(), strict=True)
        return [self._bytes[begin:end].decode() for begin, end in spans]


class RequestStore:
    """The columns of all requests of one source, in the order in which they were read. Append-only."""

    def __init__(self) -> None:
        self.size = 0
        self.intended, self.started, self.finished = Column(np.float64), Column(np.float64), Column(np.float64)
        self.ok, self.outcome, self.name = Column(np.bool_), Column(np.uint32), Column(np.uint32)
        self.outcomes, self.names, self.keys = Words(), Words(), Keys()
        # The rows from which on another source applies; none as long as all are of source 0.
        self._changes: list[int] = []
        self._sources: list[int] = []
        # For each call of ``append``: its first row, and the latest end of a request until then.
        self._firsts: list[int] = []
        self._latest: list[float] = []

    def append(self, rows: Sequence[Row], source: int = 0) -> None:
        """Append requests of one of several sources, such as the loads of an experiment."""
        if not rows:
            return
        if source != (self._sources[-1] if self._sources else 0):
            self._changes.append(self.size)
            self._sources.append(source)
        intended, started, finished, ok, outcomes, names, keys = zip(*rows, strict=True)
        for column, values in (
            (self.intended, intended),
            (self.started, started),
            (self.finished, finished),
            (self.ok, ok),
            (self.outcome, [self.outcomes.number(text) for text in outcomes]),
            (self.name, [self.names.number(text) for text in names]),
        ):
            column.write(self.size, values)
        self.keys.write(self.size, keys)
        self._firsts.append(self.size)
        last = max(finished)
        self._latest.append(max(last, self._latest[-1]) if self._latest else last)
        self.size += len(rows)

    def are_of(self, source: int, start: int, end: int) -> Bools:
        """Return for each row from ``start`` to ``end`` whether it is of a source; only these rows are looked at."""
        found = np.full(end - start, source == 0, np.bool_)
        for index in range(max(0, bisect_right(self._changes, start) - 1), bisect_left(self._changes, end)):
            last = self._changes[index + 1] if index + 1 < len(self._changes) else end
            found[max(0, self._changes[index] - start) : max(0, last - start)] = self._sources[index] == source
        return found

    def first_ended_since(self, at: float) -> int:
        """Return a row before which every request ended before ``at``. It takes no look at the requests."""
        index = bisect_left(self._latest, at)
        return self._firsts[index] if index < len(self._firsts) else self.size

"""The reader of a load process's records: what it has reported so far, and the requests that are new.

Not beside the protocol, since the load process imports that and needs no arrays.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from harness.model.history import KINDS, OUTCOMES, OperationRow
from harness.model.operation import NOTHING
from harness.model.request_store import Row
from harness.traffic.load.behaviour import OK
from harness.traffic.tail import GrowingRecord

# Seconds. A request that starts later than this after its intended start counts as late.
LATE = 0.1
# For a column of numpy.
_TOO_LARGE = 1 << 63


@dataclass
class RecordReader:
    """The reader of a growing record file: the records so far."""

    file: Path
    failed: int = 0
    late: int = 0
    """The number of requests that started more than LATE seconds after they were due."""
    drops: Counter[str] = field(default_factory=Counter)
    offered: int = 0
    dropped: int = 0
    ready: bool = False
    metrics_port: int | None = None
    waiting_for: str = ""
    last_report: float | None = None
    end: str | None = None
    schedule: tuple[int, int] | None = None
    """At the end: the number of arrivals of all workers, and the checksum of their intended starts."""
    users: list[tuple[float, int]] = field(default_factory=list)
    exceptions: Counter[str] = field(default_factory=Counter)
    unfinished: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._growing = GrowingRecord(self.file, self._take)
        self._new: list[Row] = []
        self._operations: list[OperationRow] = []

    @property
    def damaged(self) -> int:
        """The number of lines that are not a valid record."""
        return self._growing.damaged

    def poll(self) -> None:
        """Read the lines appended since the last call."""
        self._growing.poll()

    def take_new(self) -> list[Row]:
        """Return the requests that were read since the last call; times are monotonic seconds."""
        new, self._new = self._new, []
        return new

    def take_operations(self) -> list[OperationRow]:
        """Return the operations on a database that were read since the last call; times are monotonic seconds."""
        new, self._operations = self._operations, []
        return new

    def _take(self, line: bytes) -> None:
        kind, *values = orjson.loads(line)
        match kind:
            case "request":
                intended, started, finished, outcome, name, key = values
                ok = outcome == OK
                # The sum raises an error if one of them is no number, as interning does if one is no text.
                math.isfinite(0.0 + intended + started + finished)
                # Interned: a handful of different texts in hundreds of thousands of requests.
                texts = sys.intern(outcome), sys.intern(name), key if key == "" else sys.intern(key)
                self._new.append((intended, started, finished, ok, *texts))
                self.failed += not ok
                self.late += started - intended > LATE
            case "operation":
                self._operations.append(_operation(values))
            case "dropped":
                _, reason = values
                self.drops[reason] += 1
            case "waiting":
                self.last_report, self.waiting_for = values
            case "ready":
                self.last_report, self.metrics_port = values
                self.ready = True
            case "count":
                self.last_report, self.offered, self.dropped = values
            case "end":
                self.last_report, self.end, total, checksum = values
                self.schedule = None if total is None else (total, checksum)
            case _:
                self._take_own(kind, values)

    def _take_own(self, kind: str, values: list[Any]) -> None:
        """Take a record that only a locustfile of the user has."""
        at, what = values[0], values[1]
        match kind:
            case "users":
                self.users.append((float(at), int(what)))
            case "exception":
                self.exceptions[sys.intern(what)] += 1
            case "unfinished":
                self.unfinished.append(float(at))
            case "note":
                self.notes.append(what)
            case _:
                raise ValueError(kind)


def _operation(values: Sequence[Any]) -> OperationRow:
    """Return a row. Raises ValueError or TypeError for what is no operation."""
    client, invoked, completed, kind, key, value, expected, outcome = values
    if kind not in KINDS or outcome not in OUTCOMES or not isinstance(key, str):
        raise ValueError(f"found {kind!r} with the outcome {outcome!r}, expected an operation")
    if not all(type(number) is int and NOTHING <= number < _TOO_LARGE for number in (client, value, expected)):
        raise ValueError(f"found {value!r} and {expected!r}, expected whole numbers of 63 bits")
    ended = math.inf if completed is None else completed
    # The sum raises an error if one of them is no number.
    math.isfinite(0.0 + invoked + ended)
    return client, invoked, ended, kind, sys.intern(key), value, expected, outcome

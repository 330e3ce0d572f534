"""What the harness and the load process say to each other: one JSON text a line, both ways, and the reader of it.

To the process, on its standard input (closing it ends the process)::

    {"phase": "fault", "at": 1234.5}     {"stop": true}

From the process, appended to its record file; times are CLOCK_MONOTONIC seconds, which all processes share::

    ["request", intended, started, finished, outcome, name, key]
    ["dropped", intended, reason]        due, and never started
    ["waiting", at, outcome]             the target does not answer the probe yet
    ["ready", at, metrics port or null]
    ["count", at, offered, dropped]      totals so far; at least one a second, so that silence means something
    ["end", at, reason]
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from harness.growing_record import GrowingRecord

STOPPED = "stopped by the harness"


@dataclass(frozen=True, slots=True)
class EnterPhase:
    """The experiment enters a phase at a monotonic instant."""

    phase: str
    at: float

    def line(self) -> bytes:
        return _line({"phase": self.phase, "at": self.at})


@dataclass(frozen=True, slots=True)
class Stop:
    """No more arrivals; finish the ones in flight and end."""

    def line(self) -> bytes:
        return _line({"stop": True})


def parse_command(line: bytes) -> EnterPhase | Stop:
    """A command from its line. Raises ValueError."""
    said = orjson.loads(line)
    if said == {"stop": True}:
        return Stop()
    if isinstance(said, dict) and set(said) == {"phase", "at"}:
        return EnterPhase(str(said["phase"]), float(said["at"]))
    raise ValueError(f"found {line!r}, expected a phase or a stop")


class Request(NamedTuple):
    """One finished request; times are monotonic seconds."""

    intended: float
    started: float
    finished: float
    outcome: str
    name: str
    key: str

    def line(self) -> bytes:
        times = round(self.intended, 6), round(self.started, 6), round(self.finished, 6)
        return _line(["request", *times, self.outcome, self.name, self.key])


def record_line(kind: str, *values: object) -> bytes:
    """A line of any other kind."""
    return _line([kind, *values])


def _line(said: object) -> bytes:
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


@dataclass
class RecordReader:
    """What a growing record file has said so far."""

    file: Path
    requests: list[Request] = field(default_factory=list)
    drops: Counter[str] = field(default_factory=Counter)
    offered: int = 0
    dropped: int = 0
    ready: bool = False
    metrics_port: int | None = None
    waiting_for: str = ""
    last_said: float | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        self._growing = GrowingRecord(self.file, self._take)

    @property
    def damaged(self) -> int:
        """Lines that are no record."""
        return self._growing.damaged

    def poll(self) -> None:
        """Take in what was appended since the last time."""
        self._growing.poll()

    def _take(self, line: bytes) -> None:
        kind, *values = orjson.loads(line)
        match kind:
            case "request":
                intended, started, finished, outcome, name, key = values
                # A handful of different words, in hundreds of thousands of requests.
                words = sys.intern(outcome), sys.intern(name)
                self.requests.append(Request(intended, started, finished, *words, key))
            case "dropped":
                _, reason = values
                self.drops[reason] += 1
            case "waiting":
                self.last_said, self.waiting_for = values
            case "ready":
                self.last_said, self.metrics_port = values
                self.ready = True
            case "count":
                self.last_said, self.offered, self.dropped = values
            case "end":
                self.last_said, self.end = values
            case _:
                raise ValueError(kind)

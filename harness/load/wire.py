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
from typing import Any, NamedTuple

import orjson

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
    """Follows a record file as it grows; each ``poll`` reads only what is new, and keeps a line that is cut off.

    ``damaged`` counts lines that are complete and still no record: more than none means that something is lost.
    """

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
    damaged: int = 0
    _offset: int = 0
    _rest: bytes = b""

    def poll(self) -> None:
        """Take in what was appended since the last time."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except FileNotFoundError:
            return
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            try:
                self._take(orjson.loads(line))
            except (ValueError, TypeError, IndexError):
                self.damaged += 1

    def _take(self, said: list[Any]) -> None:
        kind, *values = said
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

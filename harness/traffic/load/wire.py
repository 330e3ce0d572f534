"""The protocol between the harness and the load process: one JSON text per line in both directions.

The reader is ``harness.traffic.load.reader``.

To the process, on its standard input (closing it ends the process)::

    {"phase": "fault", "at": 1234.5, "effective": 1234.75}     {"stop": 1300.0}

A phase's curve begins at ``at`` and applies from ``effective`` on; arrivals due after the time of the stop are not
started. Several workers must have a command before that time, so that all of them apply it to the same arrivals.

From the process, appended to its record file; times are CLOCK_MONOTONIC seconds, which all processes share::

    ["request", intended, started, finished, outcome, name, key]
    ["operation", client, invoked, completed, kind, key, value, expected, outcome]   see harness.model.operation
    ["dropped", intended, reason]        due but never started
    ["waiting", at, outcome]             the target does not answer the probe yet
    ["ready", at, metrics port or null]
    ["count", at, offered, dropped]      totals so far; at least once a second, as a sign of life
    ["end", at, reason, total, checksum]   the arrivals of all workers until the end, and of their intended starts

A locustfile of the user (``harness.traffic.load.own``) has no schedule to divide, so its total and checksum are null.
It also writes::

    ["users", at, count]                 the number of users from then on
    ["exception", at, text]              raised by a task
    ["unfinished", started, name]        a request that had not ended when the load was stopped
    ["note", at, text]                   what the report must mention
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import orjson

from harness.model.operation import Operation

STOPPED = "stopped by the harness"


@dataclass(frozen=True, slots=True)
class EnterPhase:
    """The command to enter a phase that began at a monotonic instant; its curve applies from ``effective`` on."""

    phase: str
    at: float
    effective: float

    def line(self) -> bytes:
        return _line({"phase": self.phase, "at": self.at, "effective": self.effective})


@dataclass(frozen=True, slots=True)
class Stop:
    """The command to start no arrivals that are due after ``at``, finish the ones in flight and exit."""

    at: float

    def line(self) -> bytes:
        return _line({"stop": self.at})


def parse_command(line: bytes) -> EnterPhase | Stop:
    """Parse one line of standard input. Raises ValueError."""
    command = orjson.loads(line)
    if isinstance(command, dict) and set(command) == {"stop"}:
        return Stop(_number(command["stop"]))
    if isinstance(command, dict) and set(command) == {"phase", "at", "effective"}:
        return EnterPhase(str(command["phase"]), _number(command["at"]), _number(command["effective"]))
    raise ValueError(f"found {line!r}, expected a phase or a stop")


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"found {value!r}, expected a number")  # noqa: TRY004 - a bad line, whatever is wrong with it
    return float(value)


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


def operation_line(done: Operation) -> bytes:
    """Format an operation on a database. Its times are not rounded: who came first may depend on a microsecond.

    An infinite completion is null."""
    times = done.client, done.invoked, done.completed
    return _line(["operation", *times, done.kind, done.key, done.value, done.expected, done.outcome])


def record_line(kind: str, *values: object) -> bytes:
    """Format a record of any kind other than ``request``."""
    return _line([kind, *values])


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)

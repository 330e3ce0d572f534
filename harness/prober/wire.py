"""What the harness and the prober's process say to each other. Free of dependencies: the process must start at once.

The process reads one settings file, and ends when its standard input closes. It appends one JSON text a line to its
record file; times are CLOCK_MONOTONIC seconds, which all processes of a machine share::

    ["probe", stream, intended, started, finished, outcome]   stream counts from 0, in the order of the settings
    ["dropped", stream, intended, reason]                     due, and never started
    ["alive", at]                                             once a second, so that silence means something
    ["end", at, reason]
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.growing_record import GrowingRecord

OK = "ok"
STOPPED = "stopped by the harness"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream of probes: what to ask whom, how often (``period``, seconds), and how long to wait (``timeout``).

    ``options`` are those of the protocol: method, path and status of ``http``, service of ``grpc``, name and type of
    ``dns``.
    """

    protocol: str
    host: str
    port: int
    period: float
    timeout: float
    kept: bool = False
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the process is told. ``max_seconds`` ends it whatever happens to the harness."""

    streams: tuple[StreamSettings, ...]
    max_seconds: float

    def write(self, file: Path) -> None:
        """Store them for the process."""
        file.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Settings:
        """Those of a file that ``write`` wrote."""
        data = json.loads(file.read_text(encoding="utf-8"))
        return cls(tuple(StreamSettings(**stream) for stream in data["streams"]), data["max_seconds"])


class Probe(NamedTuple):
    """One finished probe; times are monotonic seconds."""

    intended: float
    started: float
    finished: float
    outcome: str


def record_line(kind: str, *values: object) -> bytes:
    """One line of the record file."""
    said = [kind, *(round(value, 6) if isinstance(value, float) else value for value in values)]
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@dataclass
class RecordReader:
    """What a growing record file has said so far."""

    file: Path
    streams: int
    last_said: float | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        self._growing = GrowingRecord(self.file, self._take)
        self.probes: list[list[Probe]] = [[] for _ in range(self.streams)]
        self.drops: list[Counter[str]] = [Counter() for _ in range(self.streams)]

    @property
    def damaged(self) -> int:
        """Lines that are no record."""
        return self._growing.damaged

    def poll(self) -> None:
        """Take in what was appended since the last time."""
        self._growing.poll()

    def _take(self, line: bytes) -> None:
        kind, *values = json.loads(line)
        match kind:
            case "probe":
                stream, *probe = values
                self.probes[stream].append(Probe(*probe))
            case "dropped":
                stream, _, reason = values
                self.drops[stream][reason] += 1
            case "alive":
                (self.last_said,) = values
            case "end":
                self.last_said, self.end = values
            case _:
                raise ValueError(kind)

"""The protocol between the harness and the prober's process, without third-party packages for a fast start.

The process reads one settings file, and exits when its standard input closes. It appends one JSON text per line to its
record file, which ``harness.traffic.prober.reader`` reads; times are CLOCK_MONOTONIC seconds, which all processes of a
machine share::

    ["probe", stream, intended, started, finished, outcome]   stream counts from 0, in the order of the settings
    ["dropped", stream, intended, reason]                     due but never started
    ["alive", at]                                             once a second, as a sign of life
    ["end", at, reason]
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.traffic.target.endpoint import PLAIN, Access, authority

# The same texts as in harness.traffic.load.wire, which is not imported here because it needs third-party packages.
OK = "ok"
STOPPED = "stopped by the harness"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """One stream of probes: protocol and address, ``period`` and ``timeout`` in seconds.

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
    access: Access = PLAIN

    @property
    def authority(self) -> str:
        """What HTTP sends as the host."""
        return self.access.authority or authority(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the process. It exits after ``max_seconds``, even if the harness has crashed."""

    streams: tuple[StreamSettings, ...]
    max_seconds: float

    def write(self, file: Path) -> None:
        """Write the settings file."""
        file.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Settings:
        """Read a settings file written by ``write``."""
        data = json.loads(file.read_text(encoding="utf-8"))
        streams = (StreamSettings(**{**stream, "access": Access.of(stream["access"])}) for stream in data["streams"])
        return cls(tuple(streams), data["max_seconds"])


def record_line(kind: str, *values: object) -> bytes:
    """Format one line of the record file."""
    record = [kind, *(round(value, 6) if isinstance(value, float) else value for value in values)]
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"

"""The reader of the prober's records: what it has reported so far, and the probes that are new.

Not beside the protocol, since the prober imports that and needs no arrays.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.model.request_store import Row
from harness.traffic.prober.wire import OK
from harness.traffic.tail import GrowingRecord


@dataclass
class RecordReader:
    """The reader of a growing record file: the records so far."""

    file: Path
    streams: int
    last_report: float | None = None
    end: str | None = None

    def __post_init__(self) -> None:
        self._growing = GrowingRecord(self.file, self._take)
        self._new: list[list[Row]] = [[] for _ in range(self.streams)]
        self.outcomes: list[Counter[str]] = [Counter() for _ in range(self.streams)]
        self.latest: list[str] = [""] * self.streams
        """For each stream: the outcome of its last probe, empty before there is one."""
        self.drops: list[Counter[str]] = [Counter() for _ in range(self.streams)]

    @property
    def damaged(self) -> int:
        """The number of lines that are not a valid record."""
        return self._growing.damaged

    def poll(self) -> None:
        """Read the lines appended since the last call."""
        self._growing.poll()

    def take_new(self, stream: int) -> list[Row]:
        """Return the probes of a stream that were read since the last call; times are monotonic seconds."""
        new, self._new[stream] = self._new[stream], []
        return new

    def _take(self, line: bytes) -> None:
        kind, *values = json.loads(line)
        match kind:
            case "probe":
                stream, intended, started, finished, outcome = values
                # The sum raises an error if one of them is no number, as interning does if the outcome is no text.
                math.isfinite(0.0 + intended + started + finished)
                self._new[stream].append((intended, started, finished, outcome == OK, sys.intern(outcome), "", ""))
                self.outcomes[stream][outcome] += 1
                self.latest[stream] = outcome
            case "dropped":
                stream, _, reason = values
                self.drops[stream][reason] += 1
            case "alive":
                (self.last_report,) = values
            case "end":
                self.last_report, self.end = values
            case _:
                raise ValueError(kind)

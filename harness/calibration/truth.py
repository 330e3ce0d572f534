"""One outage as it really was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.observation import Interval

OutageKind = Literal["pause", "listener", "readiness"]


@dataclass(frozen=True, slots=True)
class Truth:
    """When an outage began and ended, each between two readings of this machine's CLOCK_MONOTONIC, in seconds."""

    kind: OutageKind
    began: Interval
    ended: Interval

    @property
    def start(self) -> float:
        """The middle of its beginning."""
        return (self.began.low + self.began.high) / 2

    @property
    def seconds(self) -> float:
        """Its length, from middle to middle."""
        return (self.ended.low + self.ended.high) / 2 - self.start

    @property
    def doubt(self) -> float:
        """How far its length may be from ``seconds``."""
        return (self.began.high - self.began.low + self.ended.high - self.ended.low) / 2

    def since(self, origin: float) -> Truth:
        """The same in seconds since an origin, such as a timeline's."""
        return Truth(
            self.kind,
            Interval(self.began.low - origin, self.began.high - origin),
            Interval(self.ended.low - origin, self.ended.high - origin),
        )

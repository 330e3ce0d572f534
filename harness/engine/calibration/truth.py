"""The true start and end of an outage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.model.timeline import Interval

OutageKind = Literal["pause", "listener", "readiness"]


@dataclass(frozen=True, slots=True)
class Truth:
    """The start and end of an outage, each as bounds in seconds of this machine's CLOCK_MONOTONIC."""

    kind: OutageKind
    began: Interval
    ended: Interval

    @property
    def start(self) -> float:
        """The midpoint of the bounds of its start, in seconds."""
        return (self.began.low + self.began.high) / 2

    @property
    def seconds(self) -> float:
        """Its length in seconds, from midpoint to midpoint."""
        return (self.ended.low + self.ended.high) / 2 - self.start

    @property
    def doubt(self) -> float:
        """The uncertainty of ``seconds``: the true length differs by at most this much."""
        return (self.began.high - self.began.low + self.ended.high - self.ended.low) / 2

    def since(self, origin: float) -> Truth:
        """Return the same outage in seconds since an origin, for example that of a timeline."""
        return Truth(
            self.kind,
            Interval(self.began.low - origin, self.began.high - origin),
            Interval(self.ended.low - origin, self.ended.high - origin),
        )

"""How well the stopwatch is known: the error of each clock, as outages of known start and length have shown it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ClockError(BaseModel):
    """The error of one clock, in seconds: what it measured less the truth.

    ``bias`` is the median of the signed errors, ``spread`` the distance of their 5th from their 95th percentile,
    ``worst`` the largest absolute one. ``coverage`` is the share of outages whose true length lay within the bounds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clock: str
    samples: int = Field(description="outages measured")
    missed: int = Field(0, description="outages that this clock did not see, or saw no end of")
    bias: float
    typical: float = Field(description="median of the absolute errors")
    spread: float
    worst: float
    coverage: float
    shortest: float = Field(description="the shortest outage among them")
    longest: float = Field(description="the longest outage among them")


class Calibration(BaseModel):
    """The errors of the clocks on one cluster, seen from one machine. ``at`` is when, RFC 3339 in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str
    machine: str
    harness: str
    at: str
    clocks: list[ClockError]

    def worst(self, clock: str) -> float:
        """The largest error of a clock in seconds; 0 for one that was not calibrated."""
        return max((error.worst for error in self.clocks if error.clock == clock), default=0.0)

"""The calibration of the recovery clocks: the error of each clock, measured with outages of known start and length."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ClockError(BaseModel):
    """The error of one clock in seconds: the measured length of an outage minus its true length.

    ``bias`` is the median of the signed errors, ``spread`` the distance between their 5th and 95th percentile,
    ``worst`` the largest absolute error. ``coverage`` is the share of outages whose true length was within the measured
    bounds.
    """

    # Stored as JSON, which has neither NaN nor infinity.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clock: str
    samples: int = Field(description="number of outages measured")
    missed: int = Field(
        default=0, description="number of outages that this clock did not detect, or did not see the end of"
    )
    bias: float
    typical: float = Field(description="median of the absolute errors")
    spread: float
    worst: float
    coverage: float
    shortest: float = Field(description="length of the shortest outage in seconds")
    longest: float = Field(description="length of the longest outage in seconds")

    @property
    def covered(self) -> int:
        """The number of outages whose true length was within the measured bounds."""
        # Rounded, since the product of a share and a count may differ from the whole number by a float's error.
        return round(self.coverage * self.samples)


class Calibration(BaseModel):
    """The errors of the clocks on one cluster, measured from one machine at time ``at`` (RFC 3339 in UTC)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str
    machine: str
    harness: str
    at: str
    clocks: list[ClockError]
    disturbed: list[str] = Field(
        default=[], description="disturbances of the machine during the calibration; if there are any, it is not stored"
    )

    def worst(self, clock: str) -> float:
        """Return the largest error of a clock in seconds; 0 if it was not calibrated."""
        return max((error.worst for error in self.clocks if error.clock == clock), default=0.0)

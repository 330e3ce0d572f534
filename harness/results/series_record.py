"""The stored records of a series: the outcomes of several attempts of one experiment, and their recovery times."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.results.fact import Fact, Known


class QuantileRecord(Fact):
    """A quantile of the recovery times of several attempts, in seconds.

    ``low`` and ``high`` are the measurement bounds of the quantile of these attempts. ``at_least`` and ``at_most`` are
    bounds on the quantile of all possible attempts, each with the series' confidence.
    """

    name: Literal["p50", "p90", "p95", "max"]
    low: float
    high: Known = Field(default=None, description="null: not recovered when last seen")
    at_least: Known = Field(default=None, description="null: too few attempts for a bound")
    at_most: Known = Field(default=None, description="null: too few attempts for a bound")


class DistributionRecord(Fact):
    """The recovery times of a series measured by one clock: for every attempt, the longest of all subjects."""

    clock: Literal["control plane", "endpoints", "user", "prometheus"]
    attempts: int = Field(description="number of attempts with data of this clock")
    recovered: int = Field(description="number of attempts that were disrupted and recovered")
    undisrupted: int = Field(description="number of attempts that were not disrupted")
    quantiles: list[QuantileRecord] = Field(default_factory=list)


class SeriesRecord(Fact):
    """Several attempts of one experiment: their outcomes, and the sequential test that decides.

    Wald's test compares two hypotheses: the share of attempts with the expected outcome is at least ``good``, or it is
    at most ``bad``; ``confidence`` is that of either decision.
    """

    at_most: int = Field(description="maximum number of attempts")
    as_should: int = Field(
        default=0, description="attempts with the expected outcome: HELD, or for a twin BROKEN on what it must break"
    )
    otherwise: int = Field(default=0, description="attempts with the opposite outcome")
    undecided: int = Field(
        default=0, description="INCONCLUSIVE attempts, which the test ignores; too many make the series INCONCLUSIVE"
    )
    good: float
    bad: float
    confidence: float
    clear_after: int | None = Field(default=None, description="number of the attempt that settled the test; null: none")
    recovery: list[DistributionRecord] = Field(default_factory=list)

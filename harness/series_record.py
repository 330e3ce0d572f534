"""Stored facts of a series: how several attempts of one experiment came out, and how long their recoveries took."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.fact import Fact, Known


class QuantileRecord(Fact):
    """A quantile of several attempts. ``low`` and ``high`` bound that of these attempts, each measured within bounds;
    ``at_least`` and ``at_most`` bound, each with the series' confidence, that of all attempts there could be."""

    name: Literal["p50", "p90", "p95", "max"]
    low: float
    high: Known = Field(default=None, description="null: it had not recovered when it was last seen")
    at_least: Known = Field(default=None, description="null: too few attempts to tell")
    at_most: Known = Field(default=None, description="null: too few attempts to tell")


class DistributionRecord(Fact):
    """The times to recover of a series, as one clock saw them: of every attempt, the worst of all subjects."""

    clock: Literal["control plane", "endpoints", "user", "prometheus"]
    attempts: int = Field(description="how many this clock has data of")
    recovered: int = Field(description="how many of them were disrupted and came back")
    undisrupted: int = Field(description="how many of them were not disrupted")
    quantiles: list[QuantileRecord] = Field(default_factory=list)


class SeriesRecord(Fact):
    """Several attempts of one experiment: how they came out, and the sequential test that decides.

    The test is Wald's, of a share of attempts that come out as they should of at least ``good`` against one of at most
    ``bad``; ``confidence`` is that of either verdict.
    """

    at_most: int = Field(description="attempts that were allowed")
    as_should: int = Field(default=0, description="HELD, or for a twin BROKEN on what it must break")
    otherwise: int = 0
    undecided: int = Field(default=0, description="INCONCLUSIVE: for neither side; too many of them leave no verdict")
    good: float
    bad: float
    confidence: float
    clear_after: int | None = Field(default=None, description="the attempt that settled it; null: none did")
    recovery: list[DistributionRecord] = Field(default_factory=list)

"""The distribution of a few times to recover, each known within bounds, and how far so few can be trusted.

Quantiles are nearest-rank: a value that was seen, never one between two. Since every time is known within bounds only,
so is its quantile: between that of the lower bounds and that of the upper ones. What it says of all attempts that there
could be is bounded by order statistics, which ask nothing of the distribution: the k-th smallest of n lies at or above
the p-quantile with the probability that a binomial of n and p stays below k (H. A. David and H. N. Nagaraja, "Order
Statistics", 3rd edition, 2003, section 7.1). Five attempts bound their median; 59 would be needed to bound a p95 from
above with 95 % confidence, and nothing ever bounds the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.observation import Interval
from harness.statistics import binomial_tail, percentile


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a sample within its measurement's ``bounds`` (high may be infinite: not over when last seen), and
    one-sided bounds on the quantile of what was sampled; None where there are too few values for the confidence."""

    share: float
    bounds: Interval
    at_least: float | None
    at_most: float | None


def quantile(lengths: Sequence[Interval], share: float, confidence: float) -> Quantile:
    """The quantile of a sample. Raises ValueError when it is empty or the share lies outside (0, 1]."""
    lows, highs = sorted(length.low for length in lengths), sorted(length.high for length in lengths)
    bounds = Interval(percentile(lows, share), percentile(highs, share))
    above, below = upper_rank(len(highs), share, confidence), lower_rank(len(lows), share, confidence)
    at_most = highs[above - 1] if above is not None else None
    return Quantile(
        share,
        bounds,
        at_least=lows[below - 1] if below is not None else None,
        at_most=at_most if at_most is not None and math.isfinite(at_most) else None,
    )


def upper_rank(size: int, share: float, confidence: float) -> int | None:
    """The smallest rank (from 1) whose value is at or above the quantile with this confidence, or None."""
    ranks = range(1, size + 1)
    return next((rank for rank in ranks if 1 - binomial_tail(rank, size, share) >= confidence), None)


def lower_rank(size: int, share: float, confidence: float) -> int | None:
    """The largest rank (from 1) whose value is at or below the quantile with this confidence, or None."""
    return next((rank for rank in range(size, 0, -1) if binomial_tail(rank, size, share) >= confidence), None)

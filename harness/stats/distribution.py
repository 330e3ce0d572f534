"""Quantiles of a few recovery times, each known within bounds, and confidence bounds on them.

Quantiles are nearest-rank: always one of the values, never interpolated. Each time has measurement bounds, so a
quantile has them too: the quantile of the lower bounds and that of the upper bounds. The confidence bounds on the
quantile of all possible attempts use order statistics, which need no assumption on the distribution: the k-th smallest
of n values is at or above the p-quantile with the probability that a binomial variable with n and p is below k (H. A.
David and H. N. Nagaraja, "Order Statistics", 3rd edition, 2003, section 7.1). Five attempts are enough to bound their
median; bounding a p95 from above with 95 % confidence takes 59, and the maximum can never be bounded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.timeline import Interval
from harness.stats.bounds import binomial_tail, percentile


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile of a sample, with measurement bounds and confidence bounds.

    ``bounds`` are the measurement bounds; high is infinite for an outage that was not over when last seen. ``at_least``
    and ``at_most`` are one-sided confidence bounds on the quantile of the population; None if there are too few values.
    """

    share: float
    bounds: Interval
    at_least: float | None
    at_most: float | None


def quantile(lengths: Sequence[Interval], share: float, confidence: float) -> Quantile:
    """Return the quantile of a sample. Raises ValueError if it is empty or the share is outside (0, 1]."""
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
    """Return the smallest rank (from 1) whose value is at or above the quantile with this confidence, or None."""
    ranks = range(1, size + 1)
    return next((rank for rank in ranks if 1 - binomial_tail(rank, size, share) >= confidence), None)


def lower_rank(size: int, share: float, confidence: float) -> int | None:
    """Return the largest rank (from 1) whose value is at or below the quantile with this confidence, or None."""
    return next((rank for rank in range(size, 0, -1) if binomial_tail(rank, size, share) >= confidence), None)

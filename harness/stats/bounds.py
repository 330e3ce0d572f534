"""Confidence bounds on shares, percentiles and sample sizes. Pure arithmetic, no third-party package.

All bounds are one-sided: each of the two holds on its own with the given confidence, since an SLO has one limit ("at
least 99.9 %"). The two-sided interval with confidence c is the pair at (1 + c) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

_BISECTIONS = 100  # halves [0, 1] until the two ends are neighbouring floats


class ShareBounds(NamedTuple):
    """One-sided bounds on a share (0 to 1), each with the requested confidence."""

    low: float
    high: float


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """Return P(X ≥ successes) for X binomial with ``trials`` and success probability ``share``.

    The first term is computed with the log-gamma function, each further term from the one before by the ratio of
    neighbouring binomial probabilities. Only the tail with decreasing terms is summed: in the other one the first terms
    would underflow to zero. Raises ValueError for invalid counts or shares.
    """
    if not 0 <= successes <= trials or not 0 <= share <= 1:
        raise ValueError(f"found {successes} of {trials} at {share}, expected 0 ≤ successes ≤ trials and 0 ≤ share ≤ 1")
    if successes == 0 or share == 1:
        return 1.0
    if share == 0:
        return 0.0
    if successes <= trials * share:
        return 1.0 - binomial_tail(trials - successes + 1, trials, 1.0 - share)
    term = math.exp(
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(share)
        + (trials - successes) * math.log1p(-share)
    )
    total, odds = term, share / (1.0 - share)
    for count in range(successes, trials):
        term *= odds * (trials - count) / (count + 1)
        total += term
        # Below half a unit in the last place of the total (1.1e-16): smaller terms no longer change the sum.
        if term <= total * 1e-17:
            break
    return min(1.0, total)


def clopper_pearson(successes: int, trials: int, confidence: float) -> ShareBounds:
    """Return exact bounds on a success probability, given ``successes`` of ``trials`` (Clopper and Pearson, 1934).

    With the lower bound as the true probability, at least that many successes occur with probability 1 − confidence;
    the upper bound is the mirror image. Conservative: each holds with at least ``confidence``. Without trials the
    bounds are 0 and 1. Raises ValueError for invalid counts or confidence.
    """
    _check(successes, trials, confidence)
    if trials == 0:
        return ShareBounds(0.0, 1.0)
    return ShareBounds(
        _least_share(successes, trials, 1.0 - confidence),
        1.0 - _least_share(trials - successes, trials, 1.0 - confidence),
    )


def wilson(successes: float, trials: float, confidence: float) -> ShareBounds:
    """Return Wilson's score bounds (1927): narrower than Clopper–Pearson; their coverage is right only on average.

    Counts may be fractions, since Prometheus extrapolates them. Without trials the bounds are 0 and 1. Raises
    ValueError for invalid counts or confidence.
    """
    _check(successes, trials, confidence)
    if trials == 0:
        return ShareBounds(0.0, 1.0)
    z = NormalDist().inv_cdf(confidence)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # With a confidence below 50 % z is negative, and the two ends are swapped.
    bounds = sorted(((centre - spread) / scale, (centre + spread) / scale))
    return ShareBounds(max(0.0, bounds[0]), min(1.0, bounds[1]))


class ShareDifference(NamedTuple):
    """The difference between two shares, with two-sided bounds."""

    seen: float
    low: float
    high: float


def newcombe(successes: int, trials: int, others: int, of: int, confidence: float) -> ShareDifference:
    """Return ``successes / trials`` minus ``others / of``, with Newcombe's hybrid score interval.

    Method 10 of Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998) 873–890: the root of the summed squares of the distances to the Wilson bounds of each share.
    Raises ValueError for invalid counts, including no trials.
    """
    if not trials or not of:
        raise ValueError(f"found {trials} and {of} trials, expected at least 1 each")
    # Each bound of ``wilson`` is one-sided.
    ours, theirs = wilson(successes, trials, (1 + confidence) / 2), wilson(others, of, (1 + confidence) / 2)
    share, other = successes / trials, others / of
    low = share - other - math.hypot(share - ours.low, theirs.high - other)
    high = share - other + math.hypot(ours.high - share, other - theirs.low)
    return ShareDifference(share - other, max(-1.0, low), min(1.0, high))


def samples_needed(share: float, confidence: float, failures: int = 0) -> int:
    """Return the fewest trials whose Clopper–Pearson lower bound reaches ``share`` although ``failures`` of them fail.

    Without failures this is the rule of three: about 3 / (1 − share) at 95 %. Raises ValueError unless share and
    confidence are strictly between 0 and 1: no finite number of trials proves a share of 1.
    """
    if not 0 < share < 1 or not 0 < confidence < 1 or failures < 0:
        raise ValueError(
            f"found share {share}, confidence {confidence}, failures {failures}: expected shares in (0, 1)"
        )

    def is_enough(trials: int) -> bool:
        return binomial_tail(trials - failures, trials, share) <= 1.0 - confidence

    # The answer has no upper bound that is known in advance, so the range is doubled until it contains it.
    high = failures + 1
    while not is_enough(high):
        high *= 2
    low = max(failures, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def shared_confidence(confidence: float, claims: int) -> float:
    """Return the confidence that each of ``claims`` statements needs so that all together hold with ``confidence``.

    Bonferroni's correction. Holm's is more powerful, but it corrects tests and not bounds, and a report shows bounds
    that must all hold at the same level. Raises ValueError for invalid numbers.
    """
    if claims < 1 or not 0 < confidence < 1:
        raise ValueError(f"found {claims} claims at {confidence}, expected at least one and a confidence in (0, 1)")
    return 1.0 - (1.0 - confidence) / claims


def percentile(values: Iterable[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest value with at least ``share`` of all values at or below it.

    The result is always one of the values, never interpolated. Raises ValueError if there are no values or the share is
    outside (0, 1].
    """
    ranked = sorted(values)
    return ranked[nearest_rank(len(ranked), share)]


def nearest_rank(count: int, share: float) -> int:
    """Return the index of the nearest-rank percentile among ``count`` sorted values. Raises as ``percentile`` does."""
    if not count or not 0 < share <= 1:
        raise ValueError(f"found {count} values and a share of {share}, expected values and a share in (0, 1]")
    # Such a product may be 95.00000000000001 instead of 95; without the tolerance the rank would be one too high.
    return max(0, math.ceil(share * count - 1e-9) - 1)


def _least_share(successes: int, trials: int, alpha: float) -> float:
    """Return the success probability that gives at least ``successes`` with probability ``alpha``; 0 for none."""
    if successes == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        low, high = (middle, high) if binomial_tail(successes, trials, middle) < alpha else (low, middle)
    return low


def _check(successes: float, trials: float, confidence: float) -> None:
    if not 0 <= successes <= trials:
        raise ValueError(f"found {successes} successes of {trials} trials, expected 0 ≤ successes ≤ trials")
    if not 0 < confidence < 1:
        raise ValueError(f"found a confidence of {confidence}, expected one between 0 and 1, such as 0.95")

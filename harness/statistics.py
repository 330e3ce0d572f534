"""Bounds on shares, percentiles, and how many samples a claim needs. Pure arithmetic, no third-party package.

Every bound here is one-sided: each of the two holds by itself with the confidence given, since an SLO asks one question
("is it at least 99.9 %?"). The two-sided interval of confidence c is the pair at (1 + c) / 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

_BISECTIONS = 100  # halves [0, 1] until the two ends are neighbouring floats


class ShareBounds(NamedTuple):
    """A share (0 to 1) that lies at or above ``low`` and at or below ``high``, each with the confidence asked for."""

    low: float
    high: float


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """P(X ≥ successes) for X binomial with ``trials`` and success probability ``share``.

    The first term comes from the log-gamma function, each next one from the one before by the ratio of neighbouring
    binomial probabilities. Only the side where terms fall is ever summed: the rising side would start with terms that
    underflow to zero and lose the sum. Raises ValueError for counts or shares that are not those of a binomial.
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
        if term <= total * 1e-17:
            break
    return min(1.0, total)


def clopper_pearson(successes: int, trials: int, confidence: float) -> ShareBounds:
    """Exact bounds on the success probability behind ``successes`` of ``trials`` (Clopper and Pearson, 1934).

    The lower bound is the probability at which so many successes or more would come out with 1 − confidence; the upper
    one is its mirror image. Conservative: each holds with at least ``confidence``. No trials: 0 and 1. Raises
    ValueError when the counts or the confidence make no sense.
    """
    _check(successes, trials, confidence)
    if trials == 0:
        return ShareBounds(0.0, 1.0)
    return ShareBounds(
        _least_share(successes, trials, 1.0 - confidence),
        1.0 - _least_share(trials - successes, trials, 1.0 - confidence),
    )


def wilson(successes: float, trials: float, confidence: float) -> ShareBounds:
    """Wilson's score bounds (1927): narrower than Clopper–Pearson, right on average rather than always.

    Counts may be fractions, as Prometheus extrapolates them. No trials: 0 and 1. Raises ValueError when the counts or
    the confidence make no sense.
    """
    _check(successes, trials, confidence)
    if trials == 0:
        return ShareBounds(0.0, 1.0)
    z = NormalDist().inv_cdf(confidence)
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    bounds = sorted(((centre - spread) / scale, (centre + spread) / scale))
    return ShareBounds(max(0.0, bounds[0]), min(1.0, bounds[1]))


class ShareDifference(NamedTuple):
    """The difference of two shares, and two-sided bounds on it."""

    seen: float
    low: float
    high: float


def newcombe(successes: int, trials: int, others: int, of: int, confidence: float) -> ShareDifference:
    """The share ``successes / trials`` less the share ``others / of``, with Newcombe's hybrid score interval.

    Method 10 of Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998) 873–890: the distances to Wilson's bounds of each share, added as squares. Raises ValueError for
    counts that make no sense, no trials included.
    """
    if not trials or not of:
        raise ValueError(f"found {trials} and {of} trials, expected some of both")
    # Each bound of ``wilson`` is one-sided.
    ours, theirs = wilson(successes, trials, (1 + confidence) / 2), wilson(others, of, (1 + confidence) / 2)
    share, other = successes / trials, others / of
    low = share - other - math.hypot(share - ours.low, theirs.high - other)
    high = share - other + math.hypot(ours.high - share, other - theirs.low)
    return ShareDifference(share - other, max(-1.0, low), min(1.0, high))


def samples_needed(share: float, confidence: float, failures: int = 0) -> int:
    """The fewest trials, of which ``failures`` fail, whose Clopper–Pearson lower bound reaches ``share``.

    With no failures this is the rule of three: about 3 / (1 − share) at 95 %. Raises ValueError unless both shares lie
    strictly between 0 and 1: no finite number of trials shows a share of 1.
    """
    if not 0 < share < 1 or not 0 < confidence < 1 or failures < 0:
        raise ValueError(
            f"found share {share}, confidence {confidence}, failures {failures}: expected shares in (0, 1)"
        )

    def tells(trials: int) -> bool:
        return binomial_tail(trials - failures, trials, share) <= 1.0 - confidence

    high = failures + 1
    while not tells(high):
        high *= 2
    low = max(failures, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return high


def shared_confidence(confidence: float, claims: int) -> float:
    """The confidence of each of ``claims`` statements, so that all of them together are right with ``confidence``.

    Bonferroni's correction. Holm's would reject more, but it corrects tests, not bounds: those that a report shows
    must each be true at one level. Raises ValueError when the numbers make no sense.
    """
    if claims < 1 or not 0 < confidence < 1:
        raise ValueError(f"found {claims} claims at {confidence}, expected at least one and a confidence in (0, 1)")
    return 1.0 - (1.0 - confidence) / claims


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile: the smallest value with at least ``share`` of all values at or below it.

    Always a value that was seen, never one interpolated between two. Raises ValueError when there are no values or the
    share lies outside (0, 1].
    """
    ranked = sorted(values)
    if not ranked or not 0 < share <= 1:
        raise ValueError(f"found {len(ranked)} values and a share of {share}, expected values and a share in (0, 1]")
    # 0.95 * 100 is 95.00000000000001 for some shares: without the slack the rank would be one too high.
    return ranked[max(0, math.ceil(share * len(ranked) - 1e-9) - 1)]


def _least_share(successes: int, trials: int, alpha: float) -> float:
    """The share at which ``successes`` or more come out with probability ``alpha``; 0 for no successes."""
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

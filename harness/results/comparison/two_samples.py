"""Tests of two small samples, and the correction for several tests.

All are exact permutation tests: without a difference, every assignment of the values to the two samples is equally
likely. They need no assumption on the distribution of the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import NormalDist
from typing import NamedTuple

from harness.model.timeline import Interval

# With more values in total, the permutations are approximated by a normal distribution with the same variance.
EXACT_UP_TO = 60
# Tables that are equally likely by the formula differ in the last digits as floats, and must be counted as equal.
_SLACK = 1e-9


class Tested(NamedTuple):
    """A two-sided p-value, and the smallest one that is possible with these values.

    ``effect`` is between -1 and 1: the probability that a value of the second sample is greater than one of the first,
    minus the probability that it is less.
    """

    p: float
    least: float
    effect: float
    name: str


def ranks(first: Sequence[Interval], second: Sequence[Interval]) -> Tested:
    """Test whether the second sample has greater values. Values have bounds; an upper bound may be infinite.

    Gehan's generalised Wilcoxon test ("A generalized Wilcoxon test for comparing arbitrarily singly-censored samples",
    Biometrika 52 (1965) 203–223) as a permutation test of Mantel's scores ("Ranking procedures for arbitrarily
    restricted observation", Biometrics 23 (1967) 65–78): a pair counts only if one value is certainly greater. For
    exact values it is the Mann–Whitney U test. Raises ValueError if a sample is empty.
    """
    if not first or not second:
        raise ValueError("found an empty sample, expected values in both")
    pooled = [*first, *second]
    scores = [sum(_order(one, other) for other in pooled) for one in pooled]
    seen = sum(scores[len(first) :])
    pairs = len(first) * len(second)
    name = "Mann–Whitney U" if all(one.low == one.high for one in pooled) else "Gehan–Wilcoxon"
    tail = _exact(scores, len(second)) if len(pooled) <= EXACT_UP_TO else _approximate(scores, len(second))
    most = max(sum(sorted(scores)[len(first) :]), -sum(sorted(scores)[: len(second)]))
    return Tested(tail(abs(seen)), tail(most), seen / pairs, name)


def fisher(good: int, of: int, others: int, of_others: int) -> Tested:
    """Compare ``good`` of ``of`` with ``others`` of ``of_others`` by Fisher's exact test.

    Two-sided: the probability of all tables that are at most as likely as the observed one. Raises ValueError for
    invalid counts or no trials.
    """
    if not (0 <= good <= of and 0 <= others <= of_others and of and of_others):
        raise ValueError(f"found {good} of {of} and {others} of {of_others}, expected shares of at least 1 trial")
    # With the margins of the table fixed, its first cell determines the other three: the sum runs over that cell alone.
    total = good + others
    tables = range(max(0, total - of_others), min(total, of) + 1)
    chances = {k: math.comb(of, k) * math.comb(of_others, total - k) / math.comb(of + of_others, total) for k in tables}
    p = sum(chance for chance in chances.values() if chance <= chances[good] * (1 + _SLACK))
    rarest = min(chances.values())
    least = sum(chance for chance in chances.values() if chance <= rarest * (1 + _SLACK))
    return Tested(min(1.0, p), min(1.0, least), others / of_others - good / of, "Fisher")


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm, Scandinavian Journal of Statistics 6 (1979) 65–70), in the same order.

    This limits the probability of any false difference, whichever of the differences are real.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    # The running maximum keeps the order: a larger p-value must not become smaller than a corrected one before it.
    raised = accumulate(((len(values) - rank) * values[index] for rank, index in enumerate(order)), max)
    corrected = dict(zip(order, raised, strict=True))
    return [min(1.0, corrected[index]) for index in range(len(values))]


def _order(one: Interval, other: Interval) -> int:
    return (one.low > other.high) - (one.high < other.low)


def _exact(scores: Sequence[int], size: int) -> Callable[[float], float]:
    """Return the probability that a sum of ``size`` scores is at least so far from 0, over all choices of scores."""
    # Counted by dynamic programming over (number of chosen scores, their sum): the C(60, 30) choices of the largest
    # case are about 1e17 and cannot be enumerated.
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for number, score in enumerate(scores, 1):
        # From the top down, so that no score is counted twice in the same choice.
        for count in range(min(number, size), 0, -1):
            for total, times in ways[count - 1].items():
                ways[count][total + score] = ways[count].get(total + score, 0) + times
    everything = math.comb(len(scores), size)
    return lambda far: sum(times for total, times in ways[size].items() if abs(total) >= far) / everything


def _approximate(scores: Sequence[int], size: int) -> Callable[[float], float]:
    many = len(scores)
    # The variance of a sum of `size` scores drawn without replacement. The mean of the scores is 0, since each pair of
    # values adds +1 to one score and -1 to the other.
    variance = size * (many - size) / (many * (many - 1)) * sum(score * score for score in scores)
    if not variance:
        # All values overlap each other, so no order can be observed.
        return lambda _far: 1.0
    # Continuity correction: without ties sums differ by at least 2, so half of that is subtracted.
    return lambda far: min(1.0, 2 * (1 - NormalDist().cdf(max(0.0, far - 1) / math.sqrt(variance))))

"""Tests of two samples that hold for a handful of values, and the correction for making many of them.

All are exact by permutation: given the values, every way of dealing them out to the two samples is as likely as any
other if there is no difference. Nothing is assumed of how the values are distributed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import NormalDist
from typing import NamedTuple

from harness.observation import Interval

# Beyond so many values in all, a normal distribution with the permutations' own variance stands in for them.
EXACT_UP_TO = 60
_SLACK = 1e-9


class Tested(NamedTuple):
    """A two-sided p-value, and the least one that these values could have had however they were dealt out.

    ``effect`` lies between -1 and 1: how much more often a value of the second sample is greater than one of the first
    than it is less.
    """

    p: float
    least: float
    effect: float
    name: str


def ranks(first: Sequence[Interval], second: Sequence[Interval]) -> Tested:
    """Whether the second sample tends to greater values. Values are known within bounds; one may have no upper end.

    Gehan's generalised Wilcoxon test ("A generalized Wilcoxon test for comparing arbitrarily singly-censored samples",
    Biometrika 52 (1965) 203–223) as a permutation test of Mantel's scores ("Ranking procedures for arbitrarily
    restricted observation", Biometrics 23 (1967) 65–78): a pair counts only when one value is greater for certain.
    Of values that are points it is the Mann–Whitney U test. Raises ValueError when a sample is empty.
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
    """Fisher's exact test of ``good`` of ``of`` against ``others`` of ``of_others``; two-sided: all tables that are no
    likelier than the one seen. Raises ValueError for counts that make no sense or no trials."""
    if not (0 <= good <= of and 0 <= others <= of_others and of and of_others):
        raise ValueError(f"found {good} of {of} and {others} of {of_others}, expected shares of some trials")
    total = good + others
    tables = range(max(0, total - of_others), min(total, of) + 1)
    chances = {k: math.comb(of, k) * math.comb(of_others, total - k) / math.comb(of + of_others, total) for k in tables}
    p = sum(chance for chance in chances.values() if chance <= chances[good] * (1 + _SLACK))
    rarest = min(chances.values())
    least = sum(chance for chance in chances.values() if chance <= rarest * (1 + _SLACK))
    return Tested(min(1.0, p), min(1.0, least), others / of_others - good / of, "Fisher")


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scandinavian Journal of Statistics 6 (1979) 65–70), in their order:
    whatever of them is true, no false difference is found with the confidence asked for."""
    order = sorted(range(len(values)), key=values.__getitem__)
    raised = accumulate(((len(values) - rank) * values[index] for rank, index in enumerate(order)), max)
    corrected = dict(zip(order, raised, strict=True))
    return [min(1.0, corrected[index]) for index in range(len(values))]


def _order(one: Interval, other: Interval) -> int:
    return (one.low > other.high) - (one.high < other.low)


def _exact(scores: Sequence[int], size: int) -> Callable[[float], float]:
    """How likely a sum of ``size`` of the scores is so far from nothing: counted over all choices of them."""
    ways: list[dict[int, int]] = [{0: 1}, *({} for _ in range(size))]
    for number, score in enumerate(scores, 1):
        for count in range(min(number, size), 0, -1):
            for total, times in ways[count - 1].items():
                ways[count][total + score] = ways[count].get(total + score, 0) + times
    everything = math.comb(len(scores), size)
    return lambda far: sum(times for total, times in ways[size].items() if abs(total) >= far) / everything


def _approximate(scores: Sequence[int], size: int) -> Callable[[float], float]:
    many = len(scores)
    variance = size * (many - size) / (many * (many - 1)) * sum(score * score for score in scores)
    if not variance:
        return lambda _far: 1.0
    # Sums step by two at the least where nothing is tied: half a step is taken off.
    return lambda far: min(1.0, 2 * (1 - NormalDist().cdf(max(0.0, far - 1) / math.sqrt(variance))))

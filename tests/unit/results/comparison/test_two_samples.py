"""The tests of two samples, against values of others and against counting by hand."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.timeline import Interval
from harness.results.comparison import two_samples
from harness.results.comparison.two_samples import fisher, holm, ranks


def points(*values: float) -> list[Interval]:
    return [Interval(value, value) for value in values]


@pytest.mark.parametrize(
    ("first", "second", "p"),
    # scipy.stats.mannwhitneyu(…, method="exact").
    [
        ((1, 2, 3), (4, 5, 6), 0.1),
        ((1, 2, 3, 4, 5), (6, 7, 8, 9, 10), 0.0079365),
        ((1.1, 2.2, 3.3, 4.4), (2.0, 5, 6, 7, 8), 0.1111111),
        ((19, 22, 16, 29, 24), (20, 11, 17, 12), 0.1111111),
        ((1, 3, 5), (2, 4, 6), 0.7),
    ],
)
def test_point_samples_get_the_exact_mann_whitney_test(
    first: tuple[float, ...], second: tuple[float, ...], p: float
) -> None:
    tested = ranks(points(*first), points(*second))
    assert tested.p == pytest.approx(p, abs=5e-7)
    assert tested.name == "Mann–Whitney U"
    assert ranks(points(*second), points(*first)).effect == -tested.effect


def test_its_least_p_is_that_of_samples_that_do_not_overlap() -> None:
    assert ranks(points(1, 2, 3), points(2.5, 0, 7)).least == pytest.approx(2 / math.comb(6, 3))
    assert ranks(points(1, 1, 1), points(1, 1, 1)) == (1.0, 1.0, 0.0, "Mann–Whitney U")


def test_overlapping_intervals_count_as_ties() -> None:
    """Bounds that overlap say nothing of which was longer; that one never recovered says that it was longer."""
    apart = ranks([Interval(1, 1.5), Interval(2, 2.5)], [Interval(3, 3.5), Interval(4, math.inf)])
    assert apart.effect == 1.0
    assert apart.name == "Gehan–Wilcoxon"
    overlapping = ranks([Interval(1, 3.2), Interval(2, 4.5)], [Interval(3, 3.5), Interval(4, math.inf)])
    assert overlapping.effect == pytest.approx(0.25)
    assert ranks([Interval(60, math.inf)] * 3, [Interval(70, math.inf)] * 3).effect == 0.0


bounds = st.tuples(st.integers(0, 6), st.integers(0, 3) | st.just(math.inf)).map(lambda x: Interval(x[0], x[0] + x[1]))


@given(st.lists(bounds, min_size=1, max_size=4), st.lists(bounds, min_size=1, max_size=4))
def test_its_p_is_what_counting_all_deals_gives(first: list[Interval], second: list[Interval]) -> None:
    pooled = [*first, *second]

    def statistic(chosen: tuple[int, ...]) -> int:
        theirs, ours = [pooled[i] for i in chosen], [p for i, p in enumerate(pooled) if i not in chosen]
        return sum((b.low > a.high) - (b.high < a.low) for a in ours for b in theirs)

    seen = abs(statistic(tuple(range(len(first), len(pooled)))))
    deals = [abs(statistic(chosen)) for chosen in combinations(range(len(pooled)), len(second))]
    tested = ranks(first, second)
    assert tested.p == pytest.approx(sum(deal >= seen for deal in deals) / len(deals))
    assert tested.least == pytest.approx(deals.count(max(deals)) / len(deals))


@settings(max_examples=30)
@given(st.lists(bounds, min_size=2, max_size=6), st.lists(bounds, min_size=2, max_size=6))
def test_no_p_is_below_the_least(first: list[Interval], second: list[Interval]) -> None:
    tested = ranks(first, second)
    assert tested.least - 1e-12 <= tested.p <= 1.0


def test_false_positive_rate_stays_within_the_limit() -> None:
    """2,000 pairs of samples of the same distribution, known within bounds; a fixed seed; three standard errors."""
    draw, pairs = random.Random(5), 2_000

    def sample() -> list[Interval]:
        return [Interval(low := draw.expovariate(1.0), low + draw.random()) for _ in range(6)]

    false = sum(ranks(sample(), sample()).p <= 0.05 for _ in range(pairs))
    assert false / pairs <= 0.05 + 3 * (0.05 * 0.95 / pairs) ** 0.5


def test_many_values_are_compared_by_the_normal_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close to what counting gives where both can be had."""
    draw = random.Random(6)
    first, second = (points(*(draw.gauss(mean, 1) for _ in range(25))) for mean in (0, 0.6))
    exact = ranks(first, second)
    monkeypatch.setattr(two_samples, "EXACT_UP_TO", 10)
    assert ranks(first, second).p == pytest.approx(exact.p, rel=0.05)


@pytest.mark.parametrize(
    ("table", "p"),
    # scipy.stats.fisher_exact; the first is its manual's, the second the tea tasting of Fisher's own.
    [((8, 10, 1, 6), 0.0349650), ((3, 4, 1, 4), 0.4857143), ((1, 10, 11, 14), 0.0027595), ((5, 5, 0, 2), 0.0476190)],
)
def test_fishers_test_is_fishers(table: tuple[int, int, int, int], p: float) -> None:
    assert fisher(*table).p == pytest.approx(p, abs=5e-7)


def test_fishers_least_is_that_of_the_rarest_table() -> None:
    assert fisher(5, 5, 5, 5).least == 1.0
    assert fisher(3, 5, 2, 5).least == pytest.approx(2 / math.comb(10, 5))


def test_holms_correction_is_holms() -> None:
    # R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm").
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_a_correction_raises_and_keeps_the_order(values: list[float]) -> None:
    corrected = holm(values)
    assert all(after >= before for before, after in zip(values, corrected, strict=True))
    order = sorted(range(len(values)), key=values.__getitem__)
    assert [corrected[index] for index in order] == sorted(corrected)


@pytest.mark.parametrize("counts", [(1, 0, 0, 1), (2, 1, 0, 1), (-1, 2, 0, 1)])
def test_counts_that_make_no_sense_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected shares of at least 1 trial"):
        fisher(*counts)
    with pytest.raises(ValueError, match="empty sample"):
        ranks([], points(1))

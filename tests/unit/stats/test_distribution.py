"""Quantiles of few values, each known within bounds: never more certain than the values and their number allow."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.timeline import Interval
from harness.stats.distribution import lower_rank, quantile, upper_rank


def lengths(*bounds: tuple[float, float]) -> list[Interval]:
    return [Interval(low, high) for low, high in bounds]


def test_a_quantile_is_known_as_well_as_the_values_behind_it() -> None:
    found = quantile(lengths((1, 2), (3, 4), (1.5, 5)), 0.5, 0.95)
    assert found.bounds == Interval(1.5, 4)


def test_attempt_without_recovery_has_no_upper_bound() -> None:
    found = quantile(lengths((1, 2), (60, math.inf)), 0.95, 0.5)
    assert found.bounds == Interval(60, math.inf)
    assert found.at_most is None


@pytest.mark.parametrize(
    ("size", "share", "rank"),
    # Conover, Practical Nonparametric Statistics: 5 values bound a median at 95% one-sided (1 - 1/32), 59 a p95.
    [
        *[(4, 0.5, None), (5, 0.5, 5), (8, 0.5, 7), (10, 0.5, 9)],
        *[(28, 0.9, None), (29, 0.9, 29), (58, 0.95, None), (59, 0.95, 59), (93, 0.95, 92)],
    ],
)
def test_the_upper_bound_is_an_order_statistic(size: int, share: float, rank: int | None) -> None:
    assert upper_rank(size, share, 0.95) == rank


def test_bounds_of_a_median_mirror() -> None:
    for size in range(5, 40):
        upper = upper_rank(size, 0.5, 0.95)
        assert upper is not None
        assert lower_rank(size, 0.5, 0.95) == size + 1 - upper


def test_the_bounds_hold_as_often_as_promised() -> None:
    """The true median and p90 of a skewed distribution, 4,000 samples of ten, a fixed seed."""
    draw, samples = random.Random(3), 4_000
    above, below = 0, 0
    for _ in range(samples):
        values = [draw.expovariate(1.0) for _ in range(10)]
        found = quantile([Interval(value, value) for value in values], 0.5, 0.95)
        assert found.at_least is not None
        assert found.at_most is not None
        above += found.at_most >= math.log(2)
        below += found.at_least <= math.log(2)
    assert min(above, below) / samples >= 0.95 - 3 * (0.95 * 0.05 / samples) ** 0.5


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=20),
    st.sampled_from([0.5, 0.9, 0.95, 1.0]),
    st.randoms(use_true_random=False),
)
def test_true_quantile_is_within_the_bounds(seen: list[tuple[float, float]], share: float, draw: random.Random) -> None:
    """Wherever the true lengths lie within their own bounds."""
    sample = [Interval(low, low + width) for low, width in seen]
    truth = [Interval(at, at) for at in (length.low + draw.random() * (length.high - length.low) for length in sample)]
    bounds, exact = quantile(sample, share, 0.95).bounds, quantile(truth, share, 0.95).bounds.low
    assert bounds.low <= exact + 1e-9
    assert exact - 1e-9 <= bounds.high

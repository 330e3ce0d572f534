"""Statistics: exact bounds against published values and against their own definition."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats.bounds import binomial_tail, clopper_pearson, percentile, samples_needed, wilson

counts = st.integers(1, 400).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
confidences = st.sampled_from([0.8, 0.9, 0.95, 0.975, 0.99, 0.999])


def exact_tail(successes: int, trials: int, share: Fraction) -> Fraction:
    """The tail by adding up the binomial in exact fractions."""
    terms = (
        math.comb(trials, count) * share**count * (1 - share) ** (trials - count)
        for count in range(successes, trials + 1)
    )
    return sum(terms, Fraction(0))


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.fractions(0, 1, max_denominator=1000))
def test_binomial_tail_is_the_sum_of_the_binomial(successes: int, more: int, share: Fraction) -> None:
    trials = successes + more
    expected = float(exact_tail(successes, trials, share))
    assert binomial_tail(successes, trials, float(share)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_binomial_tail_is_right_if_its_first_terms_underflow() -> None:
    """P(X ≥ 100) of 10,000 fair coins is 1; its first terms are smaller than any float."""
    assert binomial_tail(100, 10_000, 0.5) == pytest.approx(1.0)


@pytest.mark.parametrize(("successes", "trials", "share"), [(-1, 5, 0.5), (6, 5, 0.5), (1, 5, 1.5), (1, 5, math.nan)])
def test_binomial_tail_refuses_what_is_no_binomial(successes: int, trials: int, share: float) -> None:
    with pytest.raises(ValueError, match="expected 0 ≤ successes"):
        binomial_tail(successes, trials, share)


@pytest.mark.parametrize(
    ("good", "total", "low", "high"),
    [
        # Brown, Cai and DasGupta (2001) and the usual tables of two-sided 95 % intervals.
        (8, 10, 0.4439, 0.9748),
        (0, 10, 0.0, 0.3085),
        (10, 10, 0.6915, 1.0),
        (5, 10, 0.1871, 0.8129),
        (1, 20, 0.0013, 0.2487),
    ],
)
def test_clopper_pearson_gives_the_published_intervals(good: int, total: int, low: float, high: float) -> None:
    assert clopper_pearson(good, total, 0.975) == pytest.approx((low, high), abs=5e-5)


@settings(deadline=None)
@given(counts, confidences)
def test_clopper_pearson_tails_hold_the_remaining_probability(count: tuple[int, int], confidence: float) -> None:
    good, total = count
    bounds = clopper_pearson(good, total, confidence)
    assert bounds.low <= good / total <= bounds.high
    if good:
        assert binomial_tail(good, total, bounds.low) == pytest.approx(1 - confidence, rel=1e-6)
    if good < total:
        assert binomial_tail(total - good, total, 1 - bounds.high) == pytest.approx(1 - confidence, rel=1e-6)


def test_no_failure_in_n_bounds_the_failures_at_three_in_n() -> None:
    """The rule of three, from the contract of measuring."""
    assert 1 - clopper_pearson(3000, 3000, 0.95).low == pytest.approx(3 / 3000, rel=0.01)


@pytest.mark.parametrize("bounds", [clopper_pearson, wilson])
def test_no_trials_give_the_widest_bounds(bounds: object) -> None:
    assert bounds(0, 0, 0.95) == (0.0, 1.0)


@pytest.mark.parametrize("bounds", [clopper_pearson, wilson])
@pytest.mark.parametrize(("good", "total", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_bounds_refuse_impossible_counts_and_confidences(
    bounds: object, good: int, total: int, confidence: float
) -> None:
    with pytest.raises(ValueError, match="expected"):
        bounds(good, total, confidence)


def test_wilson_gives_the_published_interval() -> None:
    """Newcombe (1998): 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson(81, 263, 0.975) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@settings(deadline=None)
@given(counts, confidences)
def test_wilson_interval_contains_the_share_within_zero_and_one(count: tuple[int, int], confidence: float) -> None:
    good, total = count
    bounds = wilson(good, total, confidence)
    assert 0 <= bounds.low <= good / total + 1e-12
    assert good / total - 1e-12 <= bounds.high <= 1


def test_99_9_percent_needs_2995_requests_without_a_failure() -> None:
    assert samples_needed(0.999, 0.95) == 2995


@settings(deadline=None)
@given(st.sampled_from([0.5, 0.9, 0.95, 0.99]), confidences, st.integers(0, 20))
def test_samples_needed_is_the_first_count_reaching_the_share(share: float, confidence: float, failures: int) -> None:
    needed = samples_needed(share, confidence, failures)
    assert clopper_pearson(needed - failures, needed, confidence).low >= share * (1 - 1e-12)
    fewer = needed - 1
    assert fewer <= failures or clopper_pearson(fewer - failures, fewer, confidence).low < share


@pytest.mark.parametrize(
    ("share", "confidence", "failures"), [(1.0, 0.95, 0), (0.0, 0.95, 0), (0.9, 1.0, 0), (0.9, 0.9, -1)]
)
def test_samples_needed_refuses_what_no_number_of_samples_shows(share: float, confidence: float, failures: int) -> None:
    with pytest.raises(ValueError, match="expected shares"):
        samples_needed(share, confidence, failures)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile_of_one_to_a_hundred(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


@settings(deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.01, 1))
def test_percentile_is_the_smallest_value_reaching_the_share(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_percentile_refuses_no_values_and_no_share(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="expected values"):
        percentile(values, share)

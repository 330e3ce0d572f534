"""The sequential test keeps its promise, and stops as soon as it can."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.sequential import BAD, CONFIDENCE, GOOD, SequentialTest

TEST = SequentialTest()


@pytest.mark.parametrize(
    ("outcomes", "decided"),
    # log(0.95 / 0.5) = 0.642 for each that comes out as it should, log(0.05 / 0.5) = -2.303 against, log(19) = 2.944.
    [
        ("", (None, None)),
        ("++++", (None, None)),
        ("+++++", (True, 5)),
        ("-", (None, None)),
        ("--", (False, 2)),
        ("+-", (None, None)),
        ("+--", (False, 3)),
        ("++++-", (None, None)),
        ("-++++++++", (None, None)),
        ("-+++++++++", (True, 10)),
        ("+++++-----", (True, 5)),
    ],
)
def test_test_stops_at_the_required_strength_of_evidence(outcomes: str, decided: tuple[bool | None, int]) -> None:
    assert TEST.settled(outcome == "+" for outcome in outcomes) == decided
    assert TEST.decide(outcome == "+" for outcome in outcomes) is decided[0]


def test_the_fewest_attempts_are_the_fewest() -> None:
    assert [TEST.least(failures) for failures in range(3)] == [5, 10, 14]
    for failures in range(3):
        least = TEST.least(failures)
        # All failures first: had they come later, the test might have stopped before them.
        outcomes = [False] * failures + [True] * (least - failures)
        if failures < 2:
            assert TEST.settled(outcomes) == (True, least)
            assert TEST.decide(outcomes[:-1]) is None


def test_less_confidence_needs_fewer_attempts() -> None:
    assert SequentialTest(confidence=0.8).least() == 3
    assert SequentialTest(confidence=0.99).least() > TEST.least()


@pytest.mark.parametrize(
    ("share", "wrong"),
    [(GOOD, False), (1.0, False), (0.98, False), (BAD, True), (0.3, True), (0.0, True)],
)
def test_error_rates_stay_within_the_limits(share: float, wrong: bool) -> None:
    """20,000 series of at most 40 attempts each, with a fixed seed; three standard errors of room."""
    draw, series = random.Random(20), 20_000
    errors = sum(TEST.decide(draw.random() < share for _ in range(40)) is wrong for _ in range(series))
    promised = 1 - CONFIDENCE
    assert errors / series <= promised + 3 * (promised * (1 - promised) / series) ** 0.5


def test_true_claim_rarely_needs_many_attempts() -> None:
    draw, series = random.Random(21), 2_000
    taken = [TEST.settled([draw.random() < GOOD for _ in range(60)])[1] or 60 for _ in range(series)]
    assert sum(taken) / series < 7


@given(st.lists(st.booleans(), max_size=30), st.lists(st.booleans(), max_size=10))
def test_outcomes_after_the_decision_change_nothing(first: list[bool], later: list[bool]) -> None:
    decided = TEST.settled(first)
    if decided[0] is not None:
        assert TEST.settled(first + later) == decided


@given(st.lists(st.booleans(), max_size=30))
def test_good_attempt_never_favours_broken(outcomes: list[bool]) -> None:
    if TEST.decide(outcomes) is None:
        assert TEST.decide([*outcomes, True]) is not False
        assert TEST.decide([*outcomes, False]) is not True


@pytest.mark.parametrize(
    "odd", [{"good": 1.0}, {"bad": 0.0}, {"good": 0.5}, {"confidence": 0.5}, {"confidence": 1.0}, {"bad": 0.96}]
)
def test_indistinguishable_claims_are_refused(odd: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 < bad < good < 1"):
        SequentialTest(**odd)

"""Which calibrations are worth keeping."""

from __future__ import annotations

import pytest

from harness.accuracy import ClockError
from harness.calibration.calibrate import shortcomings
from harness.calibration.measure import Sample, errors
from harness.calibration.truth import Truth
from harness.observation import Interval

GOOD = ClockError(
    clock="user", samples=50, bias=0.0, typical=0.004, spread=0.01, worst=0.02, coverage=1.0, shortest=0.05, longest=20
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"missed": 5}, None),
        ({"missed": 6}, "user missed 6 of 50 outages"),
        ({"coverage": 0.88}, "user bounds held 88% of the true lengths, expected 90%"),
    ],
)
def test_a_clock_that_missed_much_says_nothing_of_its_errors(changes: dict[str, float], said: str | None) -> None:
    assert shortcomings([GOOD, GOOD.model_copy(update=changes)]) == ([said] if said else [])


def test_a_clock_that_saw_no_outage_at_all_is_not_without_error() -> None:
    truth = Truth("pause", Interval(1.0, 1.0), Interval(3.0, 3.0))
    (error,) = errors([Sample("user", truth, float("inf"), float("-inf"), None)])
    assert (error.missed, error.worst) == (1, 2.0)
    assert shortcomings([error])

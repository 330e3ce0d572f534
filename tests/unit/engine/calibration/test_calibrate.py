"""Which calibrations are worth keeping."""

from __future__ import annotations

import pytest

from harness.engine.calibration.calibrate import shortcomings
from harness.engine.calibration.measure import Sample, errors
from harness.engine.calibration.truth import Truth
from harness.model.clock_errors import ClockError
from harness.model.timeline import Interval

GOOD = ClockError(
    clock="user", samples=50, bias=0.0, typical=0.004, spread=0.01, worst=0.02, coverage=1.0, shortest=0.05, longest=20
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"missed": 5}, None),
        ({"missed": 6}, "user missed 6 of 50 outages"),
        ({"coverage": 0.88}, "the bounds of the user clock contain 44 of 50 true lengths, expected at least 90%"),
    ],
)
def test_clock_with_many_missed_outages_reports_no_error(changes: dict[str, float], said: str | None) -> None:
    assert shortcomings([GOOD, GOOD.model_copy(update=changes)]) == ([said] if said else [])


def test_clock_without_any_outage_is_not_error_free() -> None:
    truth = Truth("pause", Interval(1.0, 1.0), Interval(3.0, 3.0))
    (error,) = errors([Sample("user", truth, float("inf"), float("-inf"), None)])
    assert (error.missed, error.worst) == (1, 2.0)
    assert shortcomings([error])

"""How long a Python test may take, by what the guard allows."""

from __future__ import annotations

import pytest

from harness.engine.python_experiment import LONGEST_TEST, phases_within
from harness.experiment.phases import Phases

SPENT = Phases(recovery=0.0).total


@pytest.mark.parametrize(
    ("longest", "recovery"),
    [(None, LONGEST_TEST - SPENT), (10 * LONGEST_TEST, LONGEST_TEST - SPENT), (SPENT + 60.0, 60.0), (0.0, 0.0)],
)
def test_a_test_takes_no_longer_than_the_guard_allows(longest: float | None, recovery: float) -> None:
    """None at all is no leave to take as long as it likes."""
    assert phases_within(longest).recovery == recovery

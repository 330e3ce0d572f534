"""Ceilings that must fit to each other."""

from __future__ import annotations

from harness.common import timeouts
from harness.probes.prometheus.query import SCRAPES_TO_WAIT

SLOW_SCRAPES = 60.0


def test_load_and_prober_outlive_the_work_between_phases() -> None:
    """With scrapes a minute apart the steady state is asked about two minutes after it is over, and a run that uses all
    of its recovery phase must not be ended by its own load."""
    between = timeouts.LOAD_READY + SCRAPES_TO_WAIT * SLOW_SCRAPES + timeouts.UNDONE
    assert between < timeouts.LOAD_GRACE

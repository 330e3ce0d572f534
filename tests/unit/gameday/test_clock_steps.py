"""A step of the machine's clock never opens a window."""

from __future__ import annotations

from datetime import datetime

import pytest

from harness.common.clock import FakeClock
from harness.gameday.calendar import Calendar
from harness.gameday.clock_steps import SteppedClock

HOUR = 3600.0
MONDAY = datetime.fromisoformat("2026-11-23T08:00:00+00:00").timestamp()
WORK = Calendar(allow=["Mon-Fri 09:00-16:00"])


def _day() -> tuple[FakeClock, SteppedClock]:
    clock = FakeClock(wall=MONDAY)
    return clock, SteppedClock(clock)


def test_steady_clock_opens_and_closes_the_window() -> None:
    clock, day = _day()
    assert day.wait(WORK, 60) == HOUR
    clock.advance(HOUR)
    assert day.wait(WORK, 60) == 0
    assert day.refusal(WORK, 60) is None
    clock.advance(7 * HOUR)
    assert day.refusal(WORK, 60) is not None
    assert day.note() == ""


@pytest.mark.parametrize(
    ("passed", "step"),
    [(0.0, 2 * HOUR), (9 * HOUR, -4 * HOUR)],
    ids=["forward into the window", "back into the window"],
)
def test_step_into_the_window_does_not_open_it(passed: float, step: float) -> None:
    clock, day = _day()
    clock.advance(passed)
    clock.set_wall(step)
    assert WORK.refusal(clock.wall(), 60) is None, "inside by the wall clock"
    refusal = day.refusal(WORK, 60)
    assert refusal is not None
    assert "the machine's clock was stepped" in refusal


def test_step_out_of_the_window_closes_it() -> None:
    clock, day = _day()
    clock.advance(2 * HOUR)
    clock.set_wall(8 * HOUR)
    assert day.refusal(WORK, 60) is not None


def test_wait_is_until_both_clocks_are_inside() -> None:
    clock, day = _day()
    clock.set_wall(2 * HOUR)
    assert day.wait(WORK, 60) == HOUR
    clock.advance(HOUR)
    assert day.refusal(WORK, 60) is None
    assert "stepped forward by 2 h" in day.note()


def test_small_correction_is_no_step() -> None:
    clock, day = _day()
    clock.set_wall(1.0)
    assert day.step == 0


def test_no_open_window_within_a_year_has_no_wait() -> None:
    _, day = _day()
    assert day.wait(WORK, 8 * HOUR) is None

"""Experiments of a game day start only inside its windows, whatever happens to the machine's clock meanwhile."""

from __future__ import annotations

from typing import ClassVar

from harness.gameday.calendar import Calendar
from harness.gameday.clock_steps import SteppedClock
from harness.gameday.day import Day, Turn
from harness.gameday.rule import GO, Action, Answer, DayRule
from harness.model.quantities import show_seconds

# Seconds. The clocks are read again after this time, since they may be stepped while the day waits.
LOOK_EVERY = 60.0


class OpenWindow(DayRule):
    """Waits for a window to open, up to ``wait`` of the calendar; then aborts the day."""

    name: ClassVar[str] = "windows"

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._clock: SteppedClock | None = None
        # The monotonic time at which the current wait began.
        self._waiting: float | None = None

    def before_day(self, day: Day) -> Answer:
        return self._answer(day, max((may_take(turn) for turn in day.turns[:1]), default=0.0))

    def before_experiment(self, day: Day, turn: Turn) -> Answer:
        return self._answer(day, may_take(turn))

    def _answer(self, day: Day, seconds: float) -> Answer:
        clock = self._clock = self._clock or SteppedClock(day.clock)
        refused = clock.refusal(self._calendar, seconds)
        if refused is None:
            self._waiting = None
            return GO
        now = day.clock.monotonic()
        self._waiting = now if self._waiting is None else self._waiting
        left = self._waiting + self._calendar.wait - now
        wait = clock.wait(self._calendar, seconds)
        if wait is None or wait > left:
            longest = show_seconds(self._calendar.wait)
            return Answer(Action.ABORT, f"{refused}; the next window does not open within {longest} (windows.wait)")
        # A wait of zero: the window opened between the two looks.
        return Answer(Action.WAIT, refused, max(1.0, min(wait, LOOK_EVERY)))


def may_take(turn: Turn) -> float:
    """Return how long a turn may take in seconds."""
    return max(turn.seconds, turn.experiment.phases.total)

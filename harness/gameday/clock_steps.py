"""Steps of the machine's clock during a game day.

A step by hand, by NTP or after a suspend must never start an experiment outside of the windows. Which of the two clocks
is right is unknown, so a window counts as open only if it is by both: the wall clock, and the wall clock of the start
plus the time that passed since by the monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.common.clock import Clock
from harness.gameday.calendar import Calendar
from harness.model.quantities import show_seconds

# Seconds. NTP's slow corrections change both clocks alike, so that even a long day stays below.
TOLERANCE = 5.0


@dataclass
class SteppedClock:
    """The two readings of the time. Create it when the day starts."""

    clock: Clock
    _wall: float = field(init=False)
    _monotonic: float = field(init=False)

    def __post_init__(self) -> None:
        self._wall, self._monotonic = self.clock.wall(), self.clock.monotonic()

    def readings(self) -> tuple[float, float]:
        """Return the time by the wall clock and by the time that passed, in Unix seconds."""
        # Both clocks are read once, so that an unstepped clock gives two equal readings up to the time between them.
        return self.clock.wall(), self._wall + self.clock.monotonic() - self._monotonic

    @property
    def step(self) -> float:
        """By how many seconds the wall clock was stepped since the start, forward if positive; 0 within tolerance."""
        wall, passed = self.readings()
        return wall - passed if abs(wall - passed) > TOLERANCE else 0.0

    def note(self) -> str:
        """Return a sentence about the step; empty if there was none."""
        step = self.step
        if not step:
            return ""
        direction = "forward" if step > 0 else "back"
        return f"the machine's clock was stepped {direction} by {show_seconds(abs(step))} since the game day began"

    def refusal(self, calendar: Calendar, seconds: float = 0.0) -> str | None:
        """Return why something that takes ``seconds`` may not start now, or None."""
        wall, passed = self.readings()
        refused = calendar.refusal(wall, seconds)
        if refused is None and self.step:
            refused = calendar.refusal(passed, seconds)
            return f"{refused} (by the time that passed: {self.note()})" if refused else None
        return refused

    def wait(self, calendar: Calendar, seconds: float = 0.0) -> float | None:
        """Return the seconds until something that takes ``seconds`` may start by both readings.

        0: now. None: not within a year. Call it again after waiting, since the clock may be stepped meanwhile.
        """
        waits = []
        wall, passed = self.readings()
        for now in (wall, passed) if self.step else (wall,):
            start = calendar.next_start(now, seconds)
            if start is None:
                return None
            waits.append(start - now)
        return max(waits)

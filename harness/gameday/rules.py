"""Where parts of a game day act: before the day, before and after each experiment, and after the day.

``rules_for`` returns the rules of a day in the order in which they are asked; the first that does not answer GO
decides. A rule that waits is asked again afterwards. An answer's reason is shown in the terminal and in the report.
"""

# ruff: noqa: ARG001, ARG002 - the methods of the base class do nothing

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from harness.gameday.day import Day, Turn
from harness.gameday.loading import GameDay
from harness.results.game_day_record import GameDayRecord
from harness.results.record import ExperimentRecord


class Action(StrEnum):
    """What happens next."""

    GO = "go"
    WAIT = "wait"
    SKIP = "skip"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a rule: WAIT for ``seconds`` and ask again; SKIP this experiment; ABORT the rest of the day.

    Before the day, SKIP and ABORT both mean that it does not begin.
    """

    action: Action = Action.GO
    reason: str = ""
    seconds: float = 0.0


GO = Answer()


class DayRule:
    """Base of all rules; each method answers GO unless it is overridden. The methods may raise HarnessError."""

    name: ClassVar[str] = ""

    def before_day(self, day: Day) -> Answer:
        """Return whether the day may begin; called again when an interrupted day continues."""
        return GO

    def before_experiment(self, day: Day, turn: Turn) -> Answer:
        """Return whether an experiment may begin, after the pause before it."""
        return GO

    def after_experiment(self, day: Day, turn: Turn, record: ExperimentRecord | None) -> Answer:
        """Return whether the day goes on; ``record`` is None if the experiment was skipped."""
        return GO

    def after_day(self, day: Day, record: GameDayRecord) -> None:
        """End what ``before_day`` began, and add to the day's record; called once, also after Ctrl-C or an abort."""


def rules_for(game_day: GameDay) -> Sequence[DayRule]:
    """Return the rules of a day in the order in which they are asked."""
    return ()

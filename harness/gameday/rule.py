"""Where a part of a game day acts: before the day, before and after each experiment, and after the day.

The rules of a day are in ``harness.gameday.rules``. The first that does not answer GO decides, and a rule that waits is
asked again afterwards. An answer's reason is shown in the terminal and in the report.
"""

# ruff: noqa: ARG002 - the methods of the base class do nothing

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.gameday.day import Day, Turn
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

    def arrange(self, day: Day, turns: list[Turn]) -> None:
        """Change the order of turns before they begin: of those planned at first, and of each further round."""

    def before_day(self, day: Day) -> Answer:
        """Return whether the day may begin; called again when an interrupted day continues."""
        return GO

    def before_experiment(self, day: Day, turn: Turn) -> Answer:
        """Return whether an experiment may begin, after the pause before it."""
        return GO

    def prepare(self, day: Day, run: Run, experiment: Experiment) -> tuple[Run, Experiment]:
        """Return the run and the experiment as a turn uses them, after ``before_experiment`` of all rules."""
        return run, experiment

    def after_experiment(self, day: Day, turn: Turn, record: ExperimentRecord | None) -> Answer:
        """Return whether the day goes on; ``record`` is None if the experiment was skipped."""
        return GO

    def after_day(self, day: Day, record: GameDayRecord) -> None:
        """End what ``before_day`` began, and add to the day's record; called once, also after Ctrl-C or an abort."""

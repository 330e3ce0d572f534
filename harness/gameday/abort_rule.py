"""The abort rules of a game day at work: before the day, before each experiment, and during its faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.gameday.abort_rules import AbortRule, during_faults, ended_by, first_met, unknown_alert
from harness.gameday.day import Day, Turn
from harness.gameday.rule import GO, Action, Answer, DayRule
from harness.results.record import ExperimentRecord


class AbortDay(DayRule):
    """Aborts the day once one of its conditions is met."""

    name: ClassVar[str] = "abort"

    def __init__(self, rules: Sequence[AbortRule]) -> None:
        self._rules = rules

    def before_day(self, day: Day) -> Answer:
        why = unknown_alert(self._rules, day.connect().prometheus)
        return Answer(Action.ABORT, why) if why else self._answer(day)

    def before_experiment(self, day: Day, turn: Turn) -> Answer:
        del turn
        return self._answer(day)

    def prepare(self, day: Day, run: Run, experiment: Experiment) -> tuple[Run, Experiment]:
        del day
        # Without Prometheus the rules were declared harmless, but an experiment would not start with conditions.
        conditions = during_faults(self._rules) if run.prometheus else ()
        return run, replace(experiment, abort=(*experiment.abort, *conditions))

    def after_experiment(self, day: Day, turn: Turn, record: ExperimentRecord | None) -> Answer:
        del day, turn
        why = ended_by(self._rules, record.stopped_early, record.reason) if record else ""
        return Answer(Action.ABORT, why) if why else GO

    def _answer(self, day: Day) -> Answer:
        why = first_met(self._rules, day.connect().prometheus, day.clock)
        return Answer(Action.ABORT, why) if why else GO

"""Surprise mode at work: draws and seals the plan, waits for its start, hides what would show it, and opens it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from harness.common.errors import InputError
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.gameday.calendar import Calendar
from harness.gameday.day import Day, Turn
from harness.gameday.rule import GO, Action, Answer, DayRule
from harness.gameday.sealed_progress import SealedProgress
from harness.gameday.sealing import SealedPlan, new_salt, read_sealed
from harness.gameday.surprise import Draw, Surprise, draw, opened, place
from harness.gameday.window_rule import LOOK_EVERY, may_take
from harness.model.quantities import show_seconds
from harness.results.game_day_record import GameDayRecord
from harness.results.game_day_response import SealRecord

# While the plan is sealed, only the user of the run may read the file, whose name ends with the hash.
KEPT = ".sealed-plan-"
OPENED = "sealed-plan.txt"


class SurpriseStart(DayRule):
    """Nothing of the plan is shown before it is opened: after the day, or once the day is aborted."""

    name: ClassVar[str] = "surprise"

    def __init__(self, surprise: Surprise, calendar: Calendar) -> None:
        self._surprise, self._calendar = surprise, calendar
        self._plan: SealedPlan | None = None
        self._draw: Draw | None = None
        self._progress: SealedProgress | None = None
        # The start by the monotonic clock, which a step of the wall clock does not move.
        self._begin = 0.0
        self._prepared = 0

    def arrange(self, day: Day, turns: list[Turn]) -> None:
        if self._plan is None:
            self._seal(day)
        if self._plan is not None and self._surprise.order:
            salt = self._plan.salt
            turns.sort(key=lambda turn: (turn.round, place(turn.title, salt)))

    def before_day(self, day: Day) -> Answer:
        if self._draw is None and (refused := self._seal(day)):
            return refused
        left = self._begin - day.clock.monotonic()
        # The time that is left must not be shown.
        return (
            Answer(Action.WAIT, "the plan is sealed, waiting for its start", min(left, LOOK_EVERY)) if left > 0 else GO
        )

    def prepare(self, day: Day, run: Run, experiment: Experiment) -> tuple[Run, Experiment]:
        assert self._draw is not None
        self._progress = self._progress or SealedProgress(run.progress, day.clock)
        # Names in the cluster and labels of metrics would show which experiment runs.
        self._prepared += 1
        alias = f"sealed-{self._prepared}"
        run = replace(run, seed=self._draw.victim_seed, progress=self._progress)
        return run, replace(experiment, alias=alias)

    def after_day(self, day: Day, record: GameDayRecord) -> None:
        plan = self._plan
        if plan is None:
            return
        record.sealed = SealRecord(hash=plan.hash)
        # Before the first experiment nothing is stored, so that the next start draws a new plan.
        if not record.finished and not record.aborted and (day.continued or self._prepared):
            day.progress("the day was interrupted: its plan stays sealed, since the day may continue")
            return
        record.sealed = SealRecord(hash=plan.hash, salt=plan.salt, content=plan.content, command=plan.command)
        if self._progress:
            self._progress.open()
        day.progress(f"the plan is opened: salt {plan.salt}, content {plan.content}")
        day.progress(f"to compare its hash with the one at the start, run: {plan.command}")
        day.folder.mkdir(parents=True, exist_ok=True)
        (day.folder / OPENED).write_text(plan.text, encoding="utf-8")
        for file in _secret_files(day):
            file.unlink(missing_ok=True)

    def _seal(self, day: Day) -> Answer | None:
        """Draw or continue the plan, and order the turns; return why the day cannot begin."""
        self._plan = _earlier(day) if day.continued else None
        seconds = max(map(may_take, day.turns), default=0.0)
        now = day.clock.wall()
        if self._plan is None:
            salt = new_salt()
            turns = day.turns
            if self._surprise.order:
                turns = sorted(turns, key=lambda turn: (turn.round, place(turn.title, salt)))
            titles = [turn.title for turn in turns]
            drawn = draw(self._surprise, self._calendar, titles, seed=day.seed, salt=salt, now=now, seconds=seconds)
            if drawn is None:
                within = show_seconds(self._surprise.within)
                why = self._calendar.refusal(now, seconds) or "the windows are not open long enough"
                return Answer(Action.ABORT, f"no start is possible within {within} (surprise.within): {why}")
            self._plan = drawn.sealed(day.game_day.name, day.seed, salt)
            _store(day.folder, self._plan)
        self._draw = opened(self._plan)
        self._begin = day.clock.monotonic() + max(0.0, self._draw.start - now)
        places = {title: number for number, title in enumerate(self._draw.turns)}
        day.turns.sort(key=lambda turn: places.get(turn.title, len(places)))
        day.sealed = self._plan.hash
        day.progress(f"the plan of {day.game_day.name} is sealed: SHA-256 {self._plan.hash}")
        return None


def _store(folder: Path, plan: SealedPlan) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / f"{KEPT}{plan.hash}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(plan.text)


def _secret_files(day: Day) -> list[Path]:
    """Return the secret files of this day in the folders of all runs, the latest last."""
    found = []
    for file in sorted(day.folder.parent.glob(f"*/{KEPT}*")):
        with suppress(OSError, ValueError, InputError):
            plan = read_sealed(file.read_text(encoding="utf-8"), file.name.removeprefix(KEPT))
            if plan.plan.get("gameDay") == day.game_day.name:
                found.append(file)
    return found


def _earlier(day: Day) -> SealedPlan | None:
    """Return the plan of a day that continues; None if it was not kept."""
    files = _secret_files(day)
    if not files:
        return None
    return read_sealed(files[-1].read_text(encoding="utf-8"), files[-1].name.removeprefix(KEPT))

"""The pytest collector of a game day file, and the items of its turns.

A game day runs only if its file is named on the command line; below a folder it is only checked, so that
``pytest --cluster experiments/`` runs each experiment once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import InputError, Problem
from harness.common.excerpts import with_excerpts
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.files import is_game_day
from harness.gameday import planning
from harness.gameday.choice import Budget
from harness.gameday.day import Turn
from harness.gameday.history import History
from harness.gameday.loading import GameDay, load_game_day
from harness.gameday.part_problems import part_problems
from harness.gameday.rules import continues_until
from harness.gameday.running import DayRun
from harness.gameday.selection import check_paths, experiments_of
from harness.gameday.state import DayState, DayStore, to_continue
from harness.model.quantities import counted, show_seconds
from harness.pytest_plugin.earlier_runs import context_of, history_of
from harness.pytest_plugin.items import SESSION_KEY, ExperimentItem
from harness.pytest_plugin.session import Session
from harness.results.reporting.game_day import choice_lines


@dataclass
class PlannedDay:
    """A game day that this session runs: what is left of it, and how it came to that."""

    game_day: GameDay
    collector: pytest.Collector
    experiments: list[Experiment]
    history: History
    wanted: planning.Wanted
    state: DayState
    store: DayStore
    continued: bool = False
    notes: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    held: ExitStack = field(default_factory=ExitStack)

    @property
    def rounds(self) -> int | None:
        """The number of rounds; None if a duration decides."""
        declared = self.game_day.declared
        return None if declared.duration is not None else declared.rounds or 1

    @property
    def expected(self) -> float:
        """How many seconds the turns that are left probably take."""
        return planning.expected_seconds(self.turns, self.game_day.declared.pause)

    def round(self, number: int) -> list[Turn]:
        """Return the turns of a round that have not run."""
        done = {(turn.name, turn.twin, turn.round) for turn in self.state.turns}
        turns = planning.turns_of(
            self.game_day, self.experiments, self.history, self.state.choice, self.wanted, number=number
        )
        return [turn for turn in turns if (turn.experiment.name, turn.experiment.twin, number) not in done]

    def first_turns(self) -> list[Turn]:
        """Return the turns of all rounds, with a duration those of the round that comes next."""
        if self.rounds is not None:
            return [turn for number in range(1, self.rounds + 1) for turn in self.round(number)]
        last = max((turn.round for turn in self.state.turns), default=1)
        return self.round(last) or self.round(last + 1)

    def lines(self) -> Iterator[str]:
        """Yield the plan of the day for the terminal."""
        declared = self.game_day.declared
        yield f"game day {self.game_day.name}: {declared.hypothesis}"
        if self.continued:
            yield (
                f"continues the game day of run {', '.join(self.state.runs)}: {counted(len(self.state.turns), 'run')} "
                f"done; add --fresh to start anew"
            )
        yield from choice_lines(self.state.choice)
        often = (
            f"rounds for {show_seconds(declared.duration)}" if declared.duration else counted(self.rounds or 1, "round")
        )
        pause = f", {show_seconds(declared.pause)} between two" if declared.pause else ""
        yield (
            f"{often}, order {declared.shown_order}{pause}: {counted(len(self.turns), 'run')}, "
            f"about {show_seconds(round(self.expected))}{' a round' if declared.duration else ''}"
        )
        yield from (f"note: {note}" for note in (*self.notes, *self.history.notes))


DAY_KEY = pytest.StashKey[PlannedDay]()
RUNNING_KEY = pytest.StashKey[DayRun]()


class GameDayFile(pytest.File):
    """One game day file."""

    def collect(self) -> Iterable[pytest.Item]:
        try:
            game_day = load_game_day(self.path)
            if not is_named(self.config, self.path):
                check_paths(game_day)
                return
            _refuse_another(self.config, self.path)
            planned = _plan(self, game_day)
        except InputError as error:
            raise self.CollectError(with_excerpts(error)) from error
        self.config.stash[DAY_KEY] = planned
        yield from items_of(planned, planned.turns)


def _refuse_another(config: pytest.Config, file: Path) -> None:
    if (other := config.stash.get(DAY_KEY, None)) is not None:
        message = f"found a second game day, beside {other.game_day.file}; expected one in a session"
        raise InputError([Problem(message, file)])


class TurnItem(ExperimentItem):
    """One turn of a game day. Its file is that of the game day; ``experiment.file`` is that of the experiment."""

    def __init__(self, *, turn: Turn, **rest: Any) -> None:  # noqa: ANN401
        super().__init__(experiment=turn.experiment, **rest)
        self.turn = turn

    def prepared(self, run: Run) -> tuple[Run, Experiment]:
        day = self.config.stash.get(RUNNING_KEY, None)
        return day.prepare(run, self.experiment) if day else (run, self.experiment)


def items_of(planned: PlannedDay, turns: Iterable[Turn], *, sealed_from: int = 0) -> list[TurnItem]:
    """Return the items of turns. A title is unique in a day, and so is a node ID.

    With ``sealed_from`` the items are only numbered from there, since pytest shows their names before they run.
    """
    made = [
        TurnItem.from_parent(planned.collector, name=f"surprise-{number}" if sealed_from else turn.title, turn=turn)
        for number, turn in enumerate(turns, sealed_from)
    ]
    return [item for item in made if isinstance(item, TurnItem)]


def is_named(config: pytest.Config, file: Path) -> bool:
    """Return whether a file is an argument of pytest itself, rather than below a folder that is one."""
    return any(_same(Path(config.invocation_params.dir, argument.partition("::")[0]), file) for argument in config.args)


def refuse_workers(config: pytest.Config) -> None:
    """Raise InputError if a game day is named in a session with workers of pytest-xdist."""
    option = config.option
    if getattr(option, "dist", "no") == "no" and not getattr(option, "numprocesses", None):
        return
    for argument in config.args:
        file = Path(config.invocation_params.dir, argument.partition("::")[0])
        if is_game_day(file):
            message = "a game day runs one experiment after another, in one process: remove -n (pytest-xdist)"
            raise InputError([Problem(message, file)])


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _plan(collector: GameDayFile, game_day: GameDay) -> PlannedDay:
    """Return the plan of a named game day, after taking its lock. Raises InputError."""
    config = collector.config
    session: Session = config.stash[SESSION_KEY]
    settings, declared = session.settings, game_day.declared

    experiments = experiments_of(game_day, session.load_experiment)
    if settings.mutate:
        raise InputError([Problem("found it with a game day, expected one of them", field="--mutate")])
    if problems := part_problems(game_day, experiments, session.sources(collector.path), session.clock.wall()):
        raise InputError(problems)
    session.files.add(sorted({each.file.parent for each in experiments}))
    reports = session.here / settings.report_dir
    store, held = DayStore(reports, game_day.name), ExitStack()
    if settings.cluster and not settings.plan and not config.option.collectonly:
        held.enter_context(store.alone())
        config.add_cleanup(held.close)
    now = session.clock.wall()
    history = history_of(session, now)
    wanted = planning.Wanted(
        twins=declared.twins or settings.twins,
        disruptive=settings.allow_disruptive,
        attempts=settings.repeats.at_most,
        now=now,
        seed=session.seed,
    )
    if settings.budget and declared.duration is not None:
        raise InputError(
            [game_day.document.problem(("duration",), "found duration and --budget, expected one of them")]
        )
    budget = settings.budget or declared.budget
    choice = planning.chosen_of(
        experiments,
        history,
        wanted,
        Budget(budget) if budget else None,
        pause=declared.pause,
        rounds=declared.rounds or 1,
    )
    if not choice.chosen:
        left = "; ".join(f"{each.name}: {each.reason}" for each in choice.left_out)
        raise InputError([game_day.document.problem(("experiments",), f"no experiment can run: {left}")])
    state = DayState(name=game_day.name, digest=game_day.digest, seed=session.seed, started=now, choice=choice)
    planned = PlannedDay(game_day, collector, experiments, history, wanted, state, store, held=held)
    stored = None if settings.fresh else store.load(planned.notes.append)
    until = continues_until(game_day, stored.started) if stored else None
    if (
        found := to_continue(stored, game_day, now, until, context=context_of(session), note=planned.notes.append)
    ) is not None:
        again = replace(planned, wanted=replace(wanted, seed=found.seed), state=found, continued=True)
        again.turns = again.first_turns()
        # Nothing is left if the run was killed after its last experiment.
        if again.turns:
            return again
    planned.turns = planned.first_turns()
    return planned

"""How long a game day is expected to take, for ``harness validate``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.experiment.declaration import Experiment
from harness.gameday.choice import Budget
from harness.gameday.history import History
from harness.gameday.loading import GameDay
from harness.gameday.planning import Wanted, chosen_of, expected_seconds, turns_of
from harness.model.quantities import counted, show_seconds


def expectation(game_day: GameDay, experiments: Sequence[Experiment], history: History, now: float) -> list[str]:
    """Return what a day would choose at ``now`` (Unix seconds) and how long that takes, if all of it may run."""
    declared = game_day.declared
    wanted = Wanted(twins=declared.twins, disruptive=True, now=now)
    rounds = declared.rounds or 1
    budget = Budget(declared.budget) if declared.budget else None
    choice = chosen_of(experiments, history, wanted, budget, pause=declared.pause, rounds=rounds)
    turns = turns_of(game_day, experiments, history, choice, wanted)
    length = show_seconds(round(expected_seconds(turns, declared.pause, rounds)))
    many = f"{len(choice.chosen)} of {counted(len(experiments), 'experiment')}, {counted(len(turns), 'run')} a round"
    if declared.duration:
        takes = f"about {length} a round, for {show_seconds(declared.duration)}"
    else:
        takes = f"{counted(rounds, 'round')}, about {length}"
    name = f"{game_day.file}: game day {game_day.name}"
    lines = [f"{name}: {many}; {takes}"]
    if not choice.chosen:
        lines.append(f"{name}: nothing fits the budget of {show_seconds(declared.budget or 0.0)}")
    return lines

"""Checks of a game day's parts that need its experiments or the project's load profiles."""

from __future__ import annotations

from collections.abc import Sequence

from harness.common.errors import Problem
from harness.experiment.declaration import Experiment
from harness.experiment.sources import Sources
from harness.gameday.background import background_problems
from harness.gameday.loading import GameDay


def part_problems(game_day: GameDay, experiments: Sequence[Experiment], sources: Sources, now: float) -> list[Problem]:
    """Return what is wrong with the windows and the background load; ``now`` is in Unix seconds."""
    declared, problems = game_day.declared, list[Problem]()
    shortest = min((each.phases.total for each in experiments), default=0.0)
    if declared.windows and (problem := declared.windows.problem(now, shortest)):
        problems.append(game_day.document.problem(("windows",), problem))
    if declared.load:
        problems += background_problems(declared.load, sources.load, game_day.document)
    return problems

"""The permissions that experiments and game days need, as Roles and as the values of a schedule."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from harness.cluster.kube.permissions import Permission, guessed
from harness.cluster.kube.roles import rules_of
from harness.common.errors import InputError, Problem
from harness.common.naming import SYSTEM_NAMESPACE
from harness.common.project import Project
from harness.engine.preflight.permissions import needed_by_session, useful_to_session
from harness.engine.preflight.requirements import permissions
from harness.experiment.declaration import Experiment
from harness.experiment.files import experiment_files, game_day_files
from harness.experiment.load_place import LoadFrom, load_place, one_place
from harness.experiment.loading import load_each, load_experiment
from harness.experiment.sources import Sources
from harness.gameday import rules
from harness.gameday.loading import GameDay, load_game_day
from harness.safety.cleanup import residue


@dataclass(frozen=True, slots=True)
class Needed:
    """What the runs of some experiments and game days need. ``guesses`` are resources whose plural is only guessed."""

    permissions: frozenset[Permission]
    guesses: tuple[str, ...] = ()
    experiments: tuple[Experiment, ...] = field(default=(), repr=False)
    days: tuple[GameDay, ...] = ()

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of the ClusterRole: namespaces of experiments have no names beforehand."""
        return rules_of(sorted(each for each in self.permissions if each.place != "system" and not each.namespace))

    def roles(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rules of the Role in each namespace that is known beforehand."""
        found = {SYSTEM_NAMESPACE: rules_of(sorted(each for each in self.permissions if each.place == "system"))}
        for name in sorted({each.namespace for each in self.permissions if each.namespace}):
            found[name] = rules_of(sorted(each for each in self.permissions if each.namespace == name))
        return {name: rules for name, rules in found.items() if rules}


def needed_for_files(paths: Sequence[Path], load_from: LoadFrom, *, with_residue: bool = False) -> Needed:
    """Return what the runs of experiments and game days in files and folders need.

    For a game day these are all experiments at its paths: which of them it chooses may differ from day to day. Raises
    InputError with the problems of all experiments, or of the first game day that has some.
    """
    project = Project.of([Path.cwd()])
    needed = needed_by_session() | useful_to_session() | (residue.PERMISSIONS if with_residue else frozenset())
    guesses: set[str] = set()
    files = dict.fromkeys(file for path in paths for file in game_day_files(path))
    days = tuple(load_game_day(file) for file in files)
    needed = needed.union(*map(rules.needed_for, days))
    places = [*(path for path in paths if path not in files), *(path for day in days for path in _places(day))]
    found = dict.fromkeys(file for path in places for file in experiment_files(path))
    experiments, problems = load_each(found, lambda file: load_experiment(file, Sources.for_file(file, project)))
    if problems:
        raise InputError(problems)
    for experiment in experiments:
        for each in (experiment, *map(experiment.as_twin, experiment.twins or ())):
            # A twin keeps the loads, but may change the Services that they go to.
            needed |= permissions(each, one_place(each, partial(load_place, workload=each.workload, option=load_from)))
            guesses |= set(guessed(each.workload.objects))
    return Needed(needed, tuple(sorted(guesses)), tuple(experiments), days)


def _places(day: GameDay) -> list[Path]:
    """Return the files and folders that a game day's paths and patterns match. Raises InputError."""
    found: list[Path] = []
    for text in day.declared.experiments.paths:
        try:
            matched = [Path(os.path.normpath(path)) for path in sorted(day.file.parent.glob(text))]
        except (NotImplementedError, ValueError):
            # An absolute path, which no pod has.
            matched = []
        if not matched:
            raise InputError(
                [
                    Problem(
                        f"found {text!r}, expected files or folders, relative to this file",
                        day.file,
                        field="experiments.paths",
                    )
                ]
            )
        found += matched
    return found

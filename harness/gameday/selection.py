"""Find and load the experiments of a game day."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from harness.common.errors import InputError, Problem
from harness.common.labels import parse_selector
from harness.common.suggestions import one_of
from harness.engine.preflight.requirements import required_capabilities
from harness.experiment.declaration import Experiment
from harness.experiment.files import experiment_files, is_experiment, is_game_day
from harness.experiment.loading import load_each
from harness.gameday.loading import GameDay
from harness.model.quantities import counted

Load = Callable[[Path], Experiment]


def experiments_of(game_day: GameDay, load: Load) -> list[Experiment]:
    """Return the experiments of a game day, in the order of its paths and without duplicates.

    ``load`` loads one file. Raises InputError with the problems of the selection and of all files.
    """
    selection = game_day.declared.experiments
    problems: list[Problem] = []
    found, unloaded = load_each(_files(game_day, problems), load)
    problems += unloaded
    if problems:
        raise InputError(problems)
    promises, names = {each.file.parent.name for each in found}, {each.name for each in found}
    for index, promise in enumerate(selection.promises):
        if promise not in promises:
            message = f"found {promise!r}, no experiment is in a folder of this name{one_of(promise, sorted(promises))}"
            problems.append(game_day.document.problem(("experiments", "promises", index), message))
    for index, pattern in enumerate(selection.exclude):
        if not any(fnmatchcase(name, pattern) for name in names):
            message = f"found {pattern!r}, which excludes nothing{one_of(pattern, sorted(names))}"
            problems.append(game_day.document.problem(("experiments", "exclude", index), message))
    kept = [each for each in found if _is_selected(game_day, each)]
    if not kept and not problems:
        message = f"selects none of {counted(len(found), 'experiment')} below paths, expected at least one"
        problems.append(game_day.document.problem(("experiments",), message))
    if problems:
        raise InputError(problems)
    return kept


def check_paths(game_day: GameDay) -> None:
    """Check that every path has experiments, without loading them. Raises InputError."""
    problems: list[Problem] = []
    list(_files(game_day, problems))
    if problems:
        raise InputError(problems)


def _is_selected(game_day: GameDay, experiment: Experiment) -> bool:
    selection = game_day.declared.experiments
    needed = {each.label for each in required_capabilities(experiment)}
    return (
        parse_selector(selection.selector).matches(experiment.labels)
        and (not selection.promises or experiment.file.parent.name in selection.promises)
        and (not selection.capabilities or not needed.isdisjoint(selection.capabilities))
        and not any(fnmatchcase(experiment.name, pattern) for pattern in selection.exclude)
    )


def _files(game_day: GameDay, problems: list[Problem]) -> Iterator[Path]:
    seen: set[Path] = set()
    for index, text in enumerate(game_day.declared.experiments.paths):
        files = _below(game_day.file.parent, text)
        if isinstance(files, str):
            problems.append(game_day.document.problem(("experiments", "paths", index), f"found {text!r}, {files}"))
            continue
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _below(folder: Path, text: str) -> list[Path] | str:
    """Return the experiment files of a path or pattern, or what is wrong with it."""
    try:
        if glob.has_magic(text):
            paths = [folder / each for each in sorted(_matches(text, folder))]
            files = [file for path in paths for file in experiment_files(path) if is_experiment(file)]
            return [_plain(file) for file in files] or "which matches no experiment file"
        path = folder / text
        if path.is_dir():
            return [_plain(file) for file in experiment_files(path)] or "a folder without experiment files"
        if not path.exists():
            return f"expected an experiment file, a folder or a pattern: {path} does not exist"
        if is_game_day(path):
            return "which is a game day, expected experiments"
        return [_plain(path)] if is_experiment(path) else "which is not an experiment file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"


def _matches(pattern: str, folder: Path) -> list[str]:
    # Not Path.glob, which refuses absolute patterns.
    return glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207


def _plain(file: Path) -> Path:
    """Return the path without ``..``, as the file would be named on the command line."""
    plain = Path(os.path.normpath(file))
    # Behind a symbolic link to a folder, `..` leads elsewhere than its text says.
    return plain if plain.exists() and plain.samefile(file) else file.resolve()

"""``harness validate``: check experiment files without a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.common.errors import InputError, Problem
from harness.common.project import Project

if TYPE_CHECKING:
    from harness.experiment.declaration import Experiment
    from harness.experiment.sources import Sources


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("paths", nargs="*", type=Path, default=[Path("experiments")], help="files or folders")
    # Not from the table of options, whose import would slow down --help.
    parser.add_argument(
        "--load-image",
        dest="resilience_load_image",
        action="append",
        metavar="FILE|REF",
        help="image that a run will bring into the nodes, as for pytest; may be repeated",
    )
    parser.set_defaults(command=_validate)


def _validate(options: argparse.Namespace) -> int:
    from harness.cli.selection import load_images
    from harness.engine.preflight.known_images import known_here
    from harness.experiment.files import experiment_files, game_day_files
    from harness.experiment.loading import Names, load_experiment
    from harness.experiment.sources import Sources
    from harness.model.quantities import counted

    project, names = Project.of([Path.cwd()]), Names()
    days = [file for path in options.paths for file in game_day_files(path)]
    files = [file for path in options.paths for file in experiment_files(path) if file not in days]
    problems: list[Problem] = []
    notes: dict[str, None] = {}
    experiments: list[Experiment] = []
    for file in files:
        try:
            sources = Sources.for_file(file, project)
            experiment = load_experiment(file, sources)
            names.claim(experiment)
            notes |= dict.fromkeys([*_targets(experiment), *_notes(experiment, sources)])
            experiments.append(experiment)
        except InputError as error:
            problems += error.problems
    lengths, wrong = _game_days(days, project)
    problems += wrong
    empty = [path for path in options.paths if not experiment_files(path) and not game_day_files(path)]
    problems += [Problem("contains no experiment files", path) for path in empty]
    if problems:
        raise InputError(problems)
    lines = known_here(experiments, load_images(options))
    checked = [counted(len(files), "experiment file")] if files or not days else []
    checked += [counted(len(days), "game day file")] if days else []
    print("\n".join([*notes, *lines, *lengths, f"{' and '.join(checked)}: no problems found"]))
    return 0


def _game_days(files: Sequence[Path], project: Project) -> tuple[list[str], list[Problem]]:
    """Return how long each game day is expected to take, by the history in the report folder, and all problems."""
    if not files:
        return [], []
    import os
    import time

    from harness.common.ini_file import ini_values
    from harness.engine.settings import value_of
    from harness.experiment.loading import load_experiment
    from harness.experiment.sources import Sources
    from harness.gameday.expectation import expectation
    from harness.gameday.history import read_history
    from harness.gameday.loading import load_game_day
    from harness.gameday.part_problems import part_problems
    from harness.gameday.selection import experiments_of

    now = time.time()
    reports = Path.cwd() / value_of("report-dir", lambda _: None, ini_values(Path.cwd()), os.environ)
    history = read_history(reports, now)
    lines: list[str] = []
    problems: list[Problem] = []
    names: dict[str, Path] = {}
    for file in files:
        try:
            day = load_game_day(file)
            experiments = experiments_of(day, lambda path: load_experiment(path, Sources.for_file(path, project)))
        except InputError as error:
            problems += error.problems
            continue
        if (first := names.setdefault(day.name, file)) != file:
            message = f"found {day.name!r}, which is also the name of the game day in {first}; expected unique names"
            problems.append(day.document.problem(("metadata", "name"), message))
        problems += part_problems(day, experiments, Sources.for_file(file, project), now)
        lines += expectation(day, experiments, history, now)
    return lines, problems


def _targets(experiment: Experiment) -> Iterator[str]:
    """Yield where the traffic goes if that is not a Service, and what the guard refuses about it."""
    from harness.experiment.target_checks import shown
    from harness.safety.guard.files import find_guard
    from harness.safety.guard.hosts import host_refusal

    if all(target.kind == "service" for target in experiment.targets):
        return
    guard = find_guard(Project.of([Path.cwd()]).beside([experiment.file.parent])).guard
    for target in experiment.targets:
        if target.kind != "service":
            yield f"{experiment.file}: target {shown(target, experiment.workload)}"
        if target.kind == "url" and (refusal := host_refusal(guard.given.hosts, target.name)):
            yield f"{experiment.file}: a run would be refused: {refusal}"


def _notes(experiment: Experiment, sources: Sources) -> Iterator[str]:
    """Yield what is allowed, but probably a mistake."""
    from harness.experiment.workload_checks.conflicts import scaled_twice
    from harness.judging.sample_sizes import sample_sizes

    if experiment.workload.note:
        yield experiment.workload.note
    yield from (
        f"{experiment.file}: {text}" for text in experiment.workload.isolated(f"rh-{experiment.name}-…").notes()
    )
    yield from (f"{experiment.file}: {conflict}" for conflict in scaled_twice(experiment.workload.objects))
    file, name = experiment.file, experiment.name
    if name != file.stem:
        yield f"{file}: found metadata.name {name}, expected {file.stem}: reports and -k use the name"
    # Nothing is deployed in an existing namespace, so there can be no twin.
    if not experiment.twins and not experiment.existing:
        yield f"{file}: found no twins, expected at least one: without it nothing shows that the experiment can fail"
    for size in sample_sizes(experiment, sources.load):
        if size.short:
            yield f"{file}: {size.title} {size}: it is likely to be INCONCLUSIVE"

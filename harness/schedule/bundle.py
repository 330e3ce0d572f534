"""The files that scheduled experiments need, for a ConfigMap: experiments, workloads, profiles, guard files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.common.errors import InputError, Problem
from harness.common.project import Project, root_of
from harness.common.real_paths import resolved
from harness.experiment.declaration import Experiment
from harness.experiment.load import Load
from harness.experiment.sources import Sources
from harness.gameday.loading import GameDay
from harness.safety.guard.files import find_guard
from harness.schedule.values import File
from harness.traffic.load.catalogue import SHIPPED

# Kubernetes' limit for the data of a ConfigMap.
LIMIT = 1_048_576
_BIGGEST_SHOWN = 5


def project_root(paths: Sequence[Path]) -> Path:
    """Return the root of the project that the paths belong to: that of the first one."""
    first = paths[0].absolute()
    return root_of(first if first.is_dir() else first.parent)


def located(paths: Sequence[Path], root: Path) -> list[str]:
    """Return paths relative to the project's root. Raises InputError for one that is outside of it."""
    problems, found = [], []
    for path in paths:
        whole = path.absolute()
        if whole.is_relative_to(root):
            found.append(str(whole.relative_to(root)))
        else:
            problems.append(Problem(f"found a path outside of the project {root}", path))
    if problems:
        raise InputError(problems)
    return found


def bundle(
    root: Path, experiments: Sequence[Experiment], days: Iterable[GameDay], guards: Sequence[Path] | None = None
) -> list[File]:
    """Return the files of a project that these experiments and game days need. Raises InputError with all problems.

    ``guards`` are the guard files; by default those that a run in the project would find.
    """
    problems: list[Problem] = []
    found = [*(file for day in days for file in _files_of_day(day, root))]
    found += [file for experiment in experiments for file in _files_of(experiment, root, problems)]
    wanted = dict.fromkeys(file.absolute() for file in found)
    folders = dict.fromkeys(file.parent for file in wanted)
    for file in guards if guards is not None else find_guard(Project.of((*folders, root))).files:
        wanted[file.absolute()] = None
    files = [each for file in sorted(wanted) if (each := _read(file, root, problems))]
    size = sum(len(file.text.encode()) + len(file.key) for file in files)
    if size > LIMIT:
        biggest = sorted(files, key=lambda each: -len(each.text.encode()))[:_BIGGEST_SHOWN]
        shown = ", ".join(f"{each.path} {len(each.text.encode())}" for each in biggest)
        problems.append(
            Problem(
                f"found {size} bytes of experiments, workloads and profiles (largest: {shown}), expected at most "
                f"{LIMIT} bytes, the limit of a ConfigMap: schedule fewer files, or use --git or --image-folder"
            )
        )
    if problems:
        raise InputError(problems)
    return files


def _files_of_day(day: GameDay, root: Path) -> Iterator[Path]:
    """Yield the file of a game day, and that of the behaviour of its background load."""
    yield day.file
    if load := day.declared.load:
        yield from _named(Sources.for_file(day.file, Project.of([root])).load.folders, load.behaviour, ".py")


def _files_of(experiment: Experiment, root: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield the files that loading and running an experiment reads."""
    yield experiment.file
    if experiment.workload.origin.tool:
        message = (
            f"found {experiment.workload.origin}: the pod renders it again, and a ConfigMap cannot hold its sources; "
            "use --git or --image-folder with an image that has the tool"
        )
        problems.append(Problem(message, experiment.file, field="workload"))
    elif not experiment.live:
        yield from _below(experiment.workload.folder)
    for load in experiment.every_load.values():
        yield from _files_of_load(load, experiment, root, problems)


def _files_of_load(load: Load, experiment: Experiment, root: Path, problems: list[Problem]) -> Iterator[Path]:
    own = [load.locustfile, load.python, load.replay.file if load.replay else None]
    yield from (Path(path) for path in own if path)
    yield from load.files
    if load.python:
        problems.append(Problem("found load.python, but a pod has its own Python only", experiment.file, field="load"))
    if not load.locustfile and not load.replay:
        catalogue = Sources.for_file(experiment.file, Project.of([root])).load
        for name, suffix in (*((name, ".yaml") for name in load.profiles), (load.behaviour, ".py")):
            yield from _named(catalogue.folders, name, suffix)


def _named(folders: Sequence[Path], name: str, suffix: str) -> Iterator[Path]:
    """Yield a profile's or behaviour's file unless it is shipped with the harness, which the image has."""
    files = (folder / f"{name}{suffix}" for folder in folders)
    found = next((file for file in files if "/" not in name and file.is_file()), None)
    if found and resolved(found.parent) != resolved(SHIPPED):
        yield found


def _below(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (file for file in sorted(folder.rglob("*")) if file.is_file() and "__pycache__" not in file.parts)


def _read(file: Path, root: Path, problems: list[Problem]) -> File | None:
    if not file.is_relative_to(root):
        # A workload that is shipped with an installed harness is in the image too.
        if "builtin" not in file.parts:
            problems.append(Problem(f"found a file outside of the project {root}, which the pod cannot have", file))
        return None
    path = str(file.relative_to(root))
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        problems.append(Problem("found a binary file, expected text in UTF-8; use --git or --image-folder", file))
        return None
    return File(key=_key(path), path=path, text=text)


def _key(path: str) -> str:
    """Return a key of a ConfigMap for a path: unique, since a slash becomes two underscores and no others remain."""
    escaped = re.sub(r"[^A-Za-z0-9./-]", lambda match: f"_{ord(match[0]):x}.", path)
    return escaped.replace("/", "__")

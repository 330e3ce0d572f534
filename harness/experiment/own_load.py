"""Check a load by the user's own locustfile, with the place of each problem in the experiment file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic.alias_generators import to_camel

from harness.common.documents import Document
from harness.common.errors import InputError, Problem
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.experiment.target_checks import out_of_reach, own_requests
from harness.objectives._share import ShareObjective
from harness.objectives.base import Objective
from harness.traffic.load.own.inspection import checked
from harness.traffic.load.replay.checked import replayed


def own_load_problems(load: Load, workload: Workload | None, document: Document) -> list[Problem]:
    """Return what is wrong with the fields for a locustfile, with its target, and with the locustfile itself.

    Checks that need the workload are left out if it is None.
    """
    problems = load.own_problems()
    if load.locustfile and (message := own_requests(load.target)):
        problems.append(Problem(message, field="target"))
    if load.locustfile and not problems:
        try:
            checked(load, document.file.parent, load.options)
        except InputError as error:
            problems = list(error.problems)
    if load.locustfile and workload and (message := out_of_reach(load.target, workload)):
        problems.append(Problem(message, field="target"))
    if load.replay:
        problems += _replay_problems(load, document)
    return [_placed(problem, document) for problem in problems]


def _replay_problems(load: Load, document: Document) -> list[Problem]:
    given = [name for name in ("rate", "profile", "behaviour", "locustfile") if name in load.model_fields_set]
    problems = [Problem(f"found both replay and {name}, expected one of them", field=name) for name in given]
    located = load.located(document.file.parent).replay
    assert located
    try:
        replayed(located, load.options)
    except InputError as error:
        problems += error.problems
    return problems


def early_end_problems(
    load: Load, objectives: Sequence[Objective], document: Document, numbers: Sequence[int]
) -> list[Problem]:
    """Return which objectives cannot end the fault early: without a rate the requests to come are unknown.

    ``numbers`` has the place of each objective in the file.
    """
    if load.rate is not None:
        return []
    message = "found abortOnBreach, expected it with rate alone: the number of requests still to come is unknown"
    return [
        document.problem(("objectives", number, objective.kind, "abortOnBreach"), message)
        for number, objective in zip(numbers, objectives, strict=True)
        if isinstance(objective, ShareObjective) and objective.abort_on_breach
    ]


def _placed(problem: Problem, document: Document) -> Problem:
    field = to_camel(problem.field)
    if problem.file is None:
        return document.problem(("load", field), problem.message)
    # The place is in the locustfile itself, such as the line that raises; the message names where it is used.
    return Problem(f"{problem.message} (load.{field} of {Path(document.file).name})", problem.file, problem.line)

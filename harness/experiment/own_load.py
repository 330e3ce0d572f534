"""Check the loads of an experiment, above all that by the user's own locustfile, with the place of each problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic.alias_generators import to_camel

from harness.common.documents import Document, Place, show_place
from harness.common.errors import InputError, Problem
from harness.experiment.declaration import Declaration
from harness.experiment.load import Load
from harness.experiment.manifests import Workload
from harness.experiment.target_checks import out_of_reach, own_requests
from harness.model.quantities import show_seconds
from harness.objectives._share import ShareObjective
from harness.objectives.base import Objective
from harness.objectives.latency import Latency
from harness.traffic.load.behaviour import Behaviour
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.own.inspection import checked
from harness.traffic.load.replay.checked import replayed


def place_of(name: str) -> Place:
    """Return the place of a load in the experiment's file; a single one has no name."""
    return ("loads", name) if name else ("load",)


def own_load_problems(load: Load, workload: Workload | None, document: Document, place: Place) -> list[Problem]:
    """Return what is wrong with the fields for a locustfile, with its target, and with the locustfile itself.

    Checks that need the workload are left out if it is None. ``place`` is that of the load.
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
    return [_placed(problem, document, place) for problem in problems]


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


def load_problems(
    declared: Declaration, objectives: Sequence[Objective], catalogue: Catalogue, folder: Path
) -> Iterator[tuple[Place, str]]:
    """Yield what does not fit between the loads and the objectives that judge them, each with its place.

    ``folder`` is that of the experiment's file."""
    if declared.load and declared.loads:
        yield ("loads",), "found both load and loads, expected one of them"
    if len(declared.loads) == 1:
        yield ("loads",), "found one load, expected at least two: a single one is written as load"
    closed = [name for name, load in declared.loads.items() if load.model == "closed"]
    for number, objective in enumerate(objectives):
        place: Place = ("objectives", number, objective.kind)
        named = getattr(objective, "load", "")
        if named and named not in declared.loads:
            known = ", ".join(declared.loads) or "none, since the experiment does not have several loads"
            yield (*place, "load"), f"found {named!r}, expected the name of one of the loads: {known}"
            continue
        if not isinstance(objective, ShareObjective):
            continue
        if closed and not named:
            message = f"load is missing, expected one of {', '.join(declared.loads)}: users of {closed[0]} wait for"
            yield place, f"{message} their responses, so its requests cannot be counted with those of other loads"
        judged = {named: declared.loads[named]} if named else declared.every_load
        if objective.abort_on_breach and any(load.rate is None for load in judged.values()):
            # Without a rate the requests to come are unknown.
            message = "found abortOnBreach, expected it with rate alone"
            yield (*place, "abortOnBreach"), f"{message}: the number of requests still to come is unknown"
        behaviours = dict(_behaviours(judged, catalogue, folder))
        if objective.abort_on_breach and (several := [n for n, each in behaviours.items() if each.requests[1] > 1]):
            behaviour = judged[several[0]].behaviour
            message = (
                f"found abortOnBreach with the behaviour {behaviour}, expected it with one request for each arrival"
            )
            yield (*place, "abortOnBreach"), f"{message}: the number of requests still to come is unknown"
        if isinstance(objective, Latency):
            yield from _never_late(objective, place, behaviours)


def _behaviours(loads: Mapping[str, Load], catalogue: Catalogue, folder: Path) -> Iterator[tuple[str, Behaviour]]:
    """Yield the behaviour of each load that has one, by name; what is wrong with it is reported with the load."""
    for name, load in loads.items():
        # The time limits of a locustfile are unknown; a replay has those of the default behaviour.
        if not load.locustfile:
            with suppress(InputError):
                yield name, catalogue.behaviour(load.behaviour, load.including(folder).options)


def _never_late(objective: Latency, place: Place, behaviours: Mapping[str, Behaviour]) -> Iterator[tuple[Place, str]]:
    """Yield the loads whose requests time out before they count as slow: the objective would always hold."""
    for name, behaviour in behaviours.items():
        longest = behaviour.connect_timeout + behaviour.read_timeout
        if objective.below >= longest:
            where = show_place((*place_of(name), "options"))
            yield (
                (*place, "below"),
                f"found {show_seconds(objective.below)}, expected less than the {show_seconds(longest)} after which a "
                f"request times out ({where}: connectTimeout and readTimeout)",
            )


def _placed(problem: Problem, document: Document, place: Place) -> Problem:
    field = to_camel(problem.field)
    if problem.file is None:
        return document.problem((*place, field), problem.message)
    # The place is in the locustfile itself, such as the line that raises; the message names where it is used.
    where = show_place((*place, field))
    return Problem(f"{problem.message} ({where} of {Path(document.file).name})", problem.file, problem.line)

"""Load an experiment file: run every check that needs no cluster, and report all problems together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.common.documents import Document, Place, load_document
from harness.common.errors import InputError, Problem
from harness.common.suggestions import one_of
from harness.experiment import registry
from harness.experiment.declaration import Declaration, Experiment
from harness.experiment.live.in_place import in_place_problems, lasting_effects
from harness.experiment.live.workload import LiveWorkload, unread_note
from harness.experiment.manifests import Origin, Workload
from harness.experiment.rendering.places import Places
from harness.experiment.rendering.rendered import workload_from
from harness.experiment.sources import Sources
from harness.experiment.timing import Timing, split, timing_problems
from harness.experiment.validation import Coherence
from harness.faults.base import Fault
from harness.model.quantities import FROM_FILE
from harness.objectives.base import Objective


def load_experiment(file: Path, sources: Sources) -> Experiment:
    """Load and validate an experiment file. Raises InputError with all problems."""
    document = load_document(file)
    try:
        declaration = Declaration.model_validate(document.data, context=FROM_FILE)
    except ValidationError as error:
        # Also check the parts below the top level, so that one run reports all mistakes.
        found = document.problems(error, model=Declaration)
        raise InputError(found + _problems_of_parts(document)) from error
    return _Assembly(document, declaration, sources).experiment()


def load_each(files: Iterable[Path], load: Callable[[Path], Experiment]) -> tuple[list[Experiment], list[Problem]]:
    """Load files in order; return the experiments, and the problems of all files that could not be loaded."""
    found: list[Experiment] = []
    problems: list[Problem] = []
    for file in files:
        try:
            found.append(load(file))
        except InputError as error:
            problems += error.problems
    return found, problems


class Names:
    """The names of the experiments loaded so far, and their files. A name belongs to one file."""

    def __init__(self) -> None:
        self._files: dict[str, Path] = {}

    def claim(self, experiment: Experiment) -> None:
        """Register an experiment's name. Raises InputError if another file has the same name."""
        file = experiment.file.absolute()
        first = self._files.setdefault(experiment.name, file)
        if first != file:
            found = f"found {experiment.name!r}, which is also the name of the experiment in {first}"
            message = f"{found}; expected a unique name for each experiment: rename one of the two"
            raise InputError([load_document(experiment.file).problem(("metadata", "name"), message)])


def _problems_of_parts(document: Document) -> list[Problem]:
    problems: list[Problem] = []
    data = document.data if isinstance(document.data, dict) else {}
    for key, kinds in (
        ("faults", registry.faults()),
        ("objectives", registry.objectives()),
        ("probes", registry.probes()),
    ):
        entries = data.get(key)
        if isinstance(entries, list):
            _parts(document, key, entries, kinds, problems)
            if key == "faults":
                _timings(document, entries, problems)
    return problems


def _parts(
    document: Document,
    key: str,
    entries: Sequence[Any],
    kinds: Mapping[str, type[BaseModel]],
    problems: list[Problem],
) -> list[tuple[int, Any]]:
    """Return the parts that could be read, each with its number in the list; problems are added to ``problems``."""
    parts = []
    for index, entry in enumerate(entries):
        place: Place = (key, index)
        if not isinstance(entry, dict):
            # Already reported by the validation of the declaration.
            continue
        named = split(entry)[0] if key == "faults" else entry
        if len(named) != 1:
            more = ", beside those of its timing" if key == "faults" else ""
            found = f"{len(named)} keys ({', '.join(map(str, named))})" if named else "no key"
            problems.append(document.problem(place, f"found {found}, expected one: the kind{more}"))
            continue
        ((kind, parameters),) = named.items()
        if kind not in kinds:
            more = "; kinds of another package need it installed"
            problems.append(document.problem((*place, str(kind)), f"unknown kind{one_of(str(kind), kinds)}{more}"))
            continue
        try:
            # `podKill:` without parameters is null in YAML.
            part = kinds[kind].model_validate({} if parameters is None else parameters, context=FROM_FILE)
            parts.append((index, part))
        except ValidationError as error:
            problems += document.problems(error, (*place, kind), kinds[kind])
    return parts


def _timings(document: Document, entries: Sequence[Any], problems: list[Problem]) -> list[Timing]:
    """Return the timings of the faults; problems are added to ``problems``."""
    timings = []
    for index, entry in enumerate(entries):
        given = split(entry)[1] if isinstance(entry, dict) else {}
        try:
            timings.append(Timing.model_validate(given, context=FROM_FILE))
        except ValidationError as error:
            problems += document.problems(error, ("faults", index), Timing)
    return timings


def _checksum(data: Any, workload: Workload) -> str:  # noqa: ANN401 - the data of a file
    text = json.dumps([data, workload.objects], sort_keys=True, separators=(",", ":"), default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class _Assembly:
    """Builds an experiment from its declaration and collects all problems."""

    def __init__(self, document: Document, declaration: Declaration, sources: Sources) -> None:
        self._document = document
        self._declared = declaration
        self._sources = sources
        self._problems: list[Problem] = []
        # The places in the file of the parts that could be read, by the key of their list.
        self._numbers: dict[str, list[int]] = {}

    def experiment(self) -> Experiment:
        declared = self._declared
        faults: list[Fault] = self._read("faults", declared.faults, registry.faults())
        timings = self._timings()
        objectives: list[Objective] = self._read("objectives", declared.objectives, registry.objectives())
        probes = self._read("probes", declared.probes, registry.probes())
        workload = self._workload()

        def check(found: Workload | None) -> list[Problem]:
            coherence = Coherence(self._document, declared, self._sources.load, self._numbers)
            return coherence.problems(faults, objectives, probes, found, timings)

        live = self._live(check, faults) if declared.workload.live else None
        self._problems += check(workload if self._is_read else None)
        if self._problems or workload is None:
            raise InputError(self._problems)
        folder = self._document.file.parent
        return Experiment(
            name=declared.metadata.name,
            hypothesis=declared.hypothesis,
            workload=workload,
            objectives=tuple(objectives),
            file=self._document.file,
            load=declared.load.located(folder) if declared.load else None,
            loads={name: load.located(folder) for name, load in declared.loads.items()},
            prober=tuple(declared.prober),
            phases=declared.phases,
            ready_timeout=declared.ready_timeout,
            faults=tuple(faults),
            timings=tuple(timings),
            abort=tuple(declared.abort),
            probes=tuple(probes),
            twins=declared.twins,
            disruptive=declared.disruptive,
            control=declared.control,
            safety=declared.safety,
            live=live,
            labels=declared.metadata.labels,
            content=_checksum(self._document.data, workload),
        )

    def _live(self, check: Callable[[Workload], list[Problem]], faults: Sequence[Fault]) -> LiveWorkload:
        """Return the declaration of a live workload; ``check`` makes the checks that wait for its objects."""
        source = self._declared.workload
        place: Place = ("workload", "existing" if source.existing else "copyOf")
        for where, message in in_place_problems(self._declared) if source.existing else ():
            self._add(where, message)

        def check_all(found: Workload) -> list[Problem]:
            if source.existing:
                lasting = lasting_effects(faults, found, self._numbers["faults"])
                return check(found) + [self._document.problem(where, message) for where, message in lasting]
            return check(found) + ([] if self._declared.disruptive else list(found.beyond_namespace()))

        return LiveWorkload(source, check_all, lambda message: self._document.problem(place, message))

    def _read(self, key: str, entries: Sequence[Mapping[str, Any]], kinds: Mapping[str, Any]) -> list[Any]:
        parts = _parts(self._document, key, entries, kinds, self._problems)
        self._numbers[key] = [number for number, _ in parts]
        return [part for _, part in parts]

    def _timings(self) -> list[Timing]:
        known = len(self._problems)
        timings = _timings(self._document, self._declared.faults, self._problems)
        if len(self._problems) == known:
            # Only the load of a locustfile or a recording has no rate.
            rate = sum(load.rate or math.inf for load in self._declared.every_load.values())
            for place, message in timing_problems(timings, self._declared.phases.fault.at_most, rate=rate):
                self._add(place, message)
        return timings

    def _add(self, place: Place, message: str) -> None:
        self._problems.append(self._document.problem(place, message))

    def _of_workload(self, place: Place, message: str) -> Problem:
        return self._document.problem(("workload", *place), message)

    @property
    def _is_read(self) -> bool:
        """Whether the objects of the workload are known now."""
        source = self._declared.workload
        return not source.live and (source.folder is not None or self._sources.rendering)

    def _workload(self) -> Workload | None:
        source = self._declared.workload
        if not self._is_read:
            note = unread_note(source) if source.live else f"{source} is rendered only with --cluster"
            return Workload(Path(str(source)), (), (), origin=Origin(str(source)), remarks=(note,))
        places = Places(self._document.file.parent, self._sources, self._of_workload)
        try:
            workload = workload_from(source, self._declared.metadata.name, places)
        except InputError as error:
            self._problems += error.problems
            return None
        if not self._declared.disruptive:
            self._problems += workload.beyond_namespace()
        return workload

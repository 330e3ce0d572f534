"""From an experiment file to an Experiment: every check that needs no cluster, and all problems at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness import registry
from harness.coherence import Coherence, wrong_images
from harness.documents import Document, Place, load_document
from harness.errors import InputError, Problem
from harness.experiment import Declaration, Experiment
from harness.fault import Fault
from harness.manifests import Workload, load_workload
from harness.objective import Objective
from harness.sources import Sources


def load_experiment(file: Path, sources: Sources) -> Experiment:
    """The experiment of a file. Raises InputError with everything that is wrong with it."""
    document = load_document(file)
    try:
        declaration = Declaration.model_validate(document.data)
    except ValidationError as error:
        # The parts below the top level are checked too, so that one run names all mistakes.
        raise InputError(document.problems(error) + _problems_of_parts(document)) from error
    return _Assembly(document, declaration, sources).experiment()


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
    return problems


def _parts(
    document: Document,
    key: str,
    entries: Sequence[Any],
    kinds: Mapping[str, type[BaseModel]],
    problems: list[Problem],
) -> list[Any]:
    parts = []
    for index, entry in enumerate(entries):
        place: Place = (key, index)
        if not isinstance(entry, dict):
            # The declaration's own check has said so.
            continue
        if len(entry) != 1:
            problems.append(document.problem(place, f"found {len(entry)} keys, expected one: the kind"))
            continue
        ((kind, parameters),) = entry.items()
        if kind not in kinds:
            known = ", ".join(kinds)
            problems.append(document.problem((*place, str(kind)), f"unknown kind, expected one of: {known}"))
            continue
        try:
            parts.append(kinds[kind].model_validate({} if parameters is None else parameters))
        except ValidationError as error:
            problems += document.problems(error, (*place, kind))
    return parts


class _Assembly:
    """Puts an experiment together and collects what does not fit."""

    def __init__(self, document: Document, declaration: Declaration, sources: Sources) -> None:
        self._document = document
        self._declared = declaration
        self._sources = sources
        self._problems: list[Problem] = []

    def experiment(self) -> Experiment:
        declared = self._declared
        faults: list[Fault] = self._read("faults", declared.faults, registry.faults())
        objectives: list[Objective] = self._read("objectives", declared.objectives, registry.objectives())
        probes = self._read("probes", declared.probes, registry.probes())
        workload = self._workload()
        coherence = Coherence(self._document, declared, self._sources.load)
        self._problems += coherence.problems(faults, objectives, probes, workload)
        if self._problems or workload is None:
            raise InputError(self._problems)
        return Experiment(
            name=declared.metadata.name,
            hypothesis=declared.hypothesis,
            workload=workload,
            objectives=tuple(objectives),
            file=self._document.file,
            load=declared.load,
            prober=tuple(declared.prober),
            phases=declared.phases,
            faults=tuple(faults),
            abort=tuple(declared.abort),
            probes=tuple(probes),
            twins=declared.twins,
            disruptive=declared.disruptive,
            control=declared.control,
            safety=declared.safety,
        )

    def _read(self, key: str, entries: Sequence[Mapping[str, Any]], kinds: Mapping[str, Any]) -> list[Any]:
        return _parts(self._document, key, entries, kinds, self._problems)

    def _say(self, place: Place, message: str) -> None:
        self._problems.append(self._document.problem(place, message))

    def _workload(self) -> Workload | None:
        name = self._declared.workload
        folder = self._sources.workload_folder(name, self._document.file.parent)
        if folder is None:
            self._say(("workload",), f"found {name!r}, expected a folder of manifests in {self._sources.experiments}")
            return None
        try:
            workload = load_workload(folder)
        except InputError as error:
            self._problems += error.problems
            return None
        for document in workload.documents:
            self._problems += [document.problem(place, why) for place, why in wrong_images(document.data)]
        if not self._declared.disruptive:
            self._problems += workload.beyond_namespace()
        return workload

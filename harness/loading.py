"""From an experiment file to an Experiment: every check that needs no cluster, and all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness import registry
from harness.documents import Document, Place, load_document
from harness.errors import InputError, Problem
from harness.experiment import Declaration, Experiment, Load, describes
from harness.fault import Fault
from harness.labels import parse_selector
from harness.load.catalogue import Catalogue
from harness.manifests import Workload, load_workload
from harness.objective import Objective
from harness.shipped import shipped

BUILTIN = "builtin/"
SHIPPED = shipped("experiments") / "workloads"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where names in experiment files are looked up: the project's folders first, then what the harness ships."""

    experiments: Path
    load: Catalogue

    @classmethod
    def for_root(cls, root: Path) -> Sources:
        """Of a project whose experiments and load profiles stand in the folders of these names."""
        return cls(root / "experiments", Catalogue.for_root(root))

    def workload_folder(self, name: str, beside: Path) -> Path | None:
        """The folder of a workload; never outside of the folders that may be named."""
        if name.startswith(BUILTIN):
            roots = [SHIPPED]
            name = name.removeprefix(BUILTIN)
        else:
            roots = [beside, self.experiments]
        for root in roots:
            folder = (root / name).resolve()
            if folder.is_dir() and folder.is_relative_to(root.resolve()):
                return folder
        return None


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
            _parts(document, key, [entry for entry in entries if isinstance(entry, dict)], kinds, problems)
    return problems


def _parts(
    document: Document,
    key: str,
    entries: Sequence[Mapping[str, Any]],
    kinds: Mapping[str, type[BaseModel]],
    problems: list[Problem],
) -> list[Any]:
    parts = []
    for index, entry in enumerate(entries):
        place: Place = (key, index)
        if len(entry) != 1:
            problems.append(document.problem(place, f"found {len(entry)} keys, expected one: the kind"))
            continue
        ((kind, parameters),) = entry.items()
        if kind not in kinds:
            known = ", ".join(kinds)
            problems.append(document.problem((*place, kind), f"unknown kind, expected one of: {known}"))
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
        if declared.load:
            self._check_load(declared.load, workload)
        if workload:
            self._check_faults(faults, workload)
            self._check_references("objectives", objectives, workload)
            self._check_references("probes", probes, workload)
        self._check_twins(objectives, workload)
        if self._problems or workload is None:
            raise InputError(self._problems)
        return Experiment(
            name=declared.metadata.name,
            hypothesis=declared.hypothesis,
            workload=workload,
            objectives=tuple(objectives),
            file=self._document.file,
            load=declared.load,
            phases=declared.phases,
            faults=tuple(faults),
            probes=tuple(probes),
            twins=declared.twins,
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
            return load_workload(folder)
        except InputError as error:
            self._problems += error.problems
            return None

    def _check_load(self, load: Load, workload: Workload | None) -> None:
        for field, check in (
            ("profile", lambda: self._sources.load.profile(load.profile)),
            ("behaviour", lambda: self._sources.load.behaviour(load.behaviour, load.options)),
        ):
            try:
                check()
            except InputError as error:
                self._problems += [
                    self._document.problem(("load", field), problem.message) for problem in error.problems
                ]
        if workload is None:
            return
        service = workload.find(f"service/{load.service}")
        if service is None:
            self._say(("load", "target"), f"found {load.target}, but the workload has no Service {load.service}")
        elif service["spec"].get("type") != "NodePort":
            self._say(("load", "target"), f"Service {load.service} is no NodePort: the load could not reach it")
        elif load.port and load.port not in _ports(service):
            known = ", ".join(_ports(service))
            self._say(("load", "target"), f"found port {load.port}, expected one of {known} of Service {load.service}")

    def _check_faults(self, faults: Iterable[Fault], workload: Workload) -> None:
        for index, fault in enumerate(faults):
            for selector in fault.selectors:
                if not any(parse_selector(selector).matches(labels) for labels in workload.pod_labels()):
                    place = ("faults", index, fault.kind, "selector")
                    self._say(place, f"found {selector!r}, but no pod of the workload has such labels")
            self._check_names(("faults", index, fault.kind, "of"), fault.workloads, workload)

    def _check_references(self, key: str, parts: Iterable[Any], workload: Workload) -> None:
        for index, part in enumerate(parts):
            of = getattr(part, "of", None)
            if of:
                self._check_names((key, index, part.kind, "of"), [of], workload)

    def _check_names(self, place: Place, names: Iterable[str], workload: Workload) -> None:
        for name in names:
            if workload.find(name) is None:
                known = ", ".join(workload.names())
                self._say(place, f"found {name}, but the workload has only {known}")

    def _check_twins(self, objectives: Sequence[Objective], workload: Workload | None) -> None:
        for name, twin in self._declared.twins.items():
            for broken in twin.breaks:
                if not any(describes(objective, broken) for objective in objectives):
                    known = ", ".join(sorted({objective.kind for objective in objectives}))
                    self._say(("twins", name, "breaks"), f"found {broken!r}, expected one of the objectives: {known}")
            if workload:
                for patched in twin.patch:
                    self._check_names(("twins", name, "patch", patched), [patched], workload)


def _ports(service: Mapping[str, Any]) -> list[str]:
    ports = service["spec"].get("ports", [])
    return [str(port[key]) for port in ports for key in ("name", "port") if key in port]

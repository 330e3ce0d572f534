"""From an experiment file to an Experiment: every check that needs no cluster, and all problems at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness import registry
from harness.cluster.local.images import catalogue
from harness.documents import Document, Place, load_document
from harness.errors import InputError, Problem
from harness.experiment import Declaration, Experiment, Load, Twin, describes
from harness.fault import Fault
from harness.labels import parse_selector
from harness.load.catalogue import Catalogue
from harness.manifests import Workload, images_in, load_workload
from harness.objective import Objective
from harness.observation import BASELINE, PHASES
from harness.probes.prometheus_query import SCRAPES_PER_WINDOW, SERIES
from harness.shipped import shipped

BUILTIN = "builtin/"
# Clusters of ours are scraped this often, in seconds; none is scraped more often.
QUICKEST_SCRAPE = 1.0
HARNESS_IMAGES = frozenset(image.name for image in catalogue(defaultdict(str)))
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
            try:
                folder = (root / name).resolve()
                if folder.is_dir() and folder.is_relative_to(root.resolve()):
                    return folder
            except (OSError, ValueError):
                # Too long for a path, or with a NUL in it: there is no such folder.
                return None
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
        if declared.load:
            self._check_load(declared.load, workload)
        if workload:
            self._check_faults(faults, workload)
            self._check_references("objectives", objectives, workload)
            self._check_references("probes", probes, workload)
        self._check_windows(objectives)
        self._check_titles(objectives)
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
            disruptive=declared.disruptive,
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
        return workload

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
                    place: Place = ("faults", index, fault.kind, "selector")
                    self._say(place, f"found {selector!r}, but no pod of the workload has such labels")
            self._check_names(("faults", index, fault.kind, "of"), fault.workloads, workload)
            for place, why in wrong_images(fault.model_dump(by_alias=True, exclude_unset=True)):
                self._say(("faults", index, fault.kind, *place), why)

    def _check_windows(self, objectives: Sequence[Objective]) -> None:
        """A PromQL window must hold enough scrapes; the cluster's own interval is looked at when there is a cluster."""
        least, phases = SCRAPES_PER_WINDOW * QUICKEST_SCRAPE, self._declared.phases
        for index, objective in enumerate(objectives):
            if objective.kind != SERIES:
                continue
            for name in windows(objective):
                if phases.length(name) < least:
                    message = (
                        f"{objective.title} is asked about {name}, which takes {phases.length(name):g} s, expected"
                    )
                    self._say(
                        ("objectives", index, SERIES), f"{message} at least {least:g} s: {SCRAPES_PER_WINDOW} scrapes"
                    )

    def _check_titles(self, objectives: Sequence[Objective]) -> None:
        seen: set[tuple[str, str]] = set()
        for index, objective in enumerate(objectives):
            named = (objective.kind, objective.title)
            if objective.kind == SERIES and named in seen:
                self._say(("objectives", index, SERIES, "name"), f"found {objective.title!r} a second time")
            seen.add(named)

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
                self._check_patch(name, twin, workload)

    def _check_patch(self, name: str, twin: Twin, workload: Workload) -> None:
        place: Place = ("twins", name, "patch")
        for reference in twin.patch:
            self._check_names((*place, reference), [reference], workload)
        if not all(workload.find(reference) for reference in twin.patch):
            return
        patched = workload.patched(twin.patch)
        for reference, patch in twin.patch.items():
            if patch is not None and patched.find(reference) == workload.find(reference):
                self._say((*place, reference), "changes nothing")
        for reference, error in patched.misshapen():
            self._problems += self._document.problems(error, (*place, reference))


def _ports(service: Mapping[str, Any]) -> list[str]:
    ports = service["spec"].get("ports") or []
    return [str(port[key]) for port in ports for key in ("name", "port") if key in port]


def wrong_images(value: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:  # noqa: ANN401
    """Where a value asks for an image that the harness has not got, or misspells how to ask, and what is wrong."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from wrong_images(inner, (*place, key if isinstance(key, int) else str(key)))
    elif isinstance(value, str) and "${image" in value:
        names = list(images_in(value))
        if len(names) != value.count("${image"):
            yield place, f"found {value!r}, expected ${{image:NAME}} or ${{image:NAME:TAG}}"
        for name in names:
            if name not in HARNESS_IMAGES:
                yield place, f"found the image {name}, expected one of: {', '.join(sorted(HARNESS_IMAGES))}"


def windows(objective: Objective) -> list[str]:
    """The phases that a PromQL objective is asked about: its own, and the steady state."""
    own = getattr(objective, "phases", ())
    return [name for name in PHASES if name in own or (name == BASELINE and objective.checks_baseline)]

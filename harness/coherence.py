"""Whether the parts of an experiment fit together and to the workload: every check that needs no cluster."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.cluster.local.images import catalogue
from harness.documents import Document, Place
from harness.errors import InputError, Problem
from harness.experiment import Declaration, Load, Twin, describes
from harness.fault import Fault
from harness.labels import parse_selector
from harness.load.catalogue import Catalogue
from harness.manifests import Workload, images_in
from harness.objective import Objective
from harness.objectives.invariant import NODES
from harness.prober.declaration import Aim
from harness.probes.prometheus_query import SERIES, misfits, windows
from harness.probes.prometheus_text import SCRAPES_PER_WINDOW

# Clusters of ours are scraped this often, in seconds; none is scraped more often.
QUICKEST_SCRAPE = 1.0
HARNESS_IMAGES = frozenset(image.name for image in catalogue(defaultdict(str)))


class Coherence:
    """Collects what does not fit, each with its place in the experiment's file."""

    def __init__(self, document: Document, declared: Declaration, load: Catalogue) -> None:
        self._document = document
        self._declared = declared
        self._catalogue = load
        self._problems: list[Problem] = []

    def problems(
        self,
        faults: Sequence[Fault],
        objectives: Sequence[Objective],
        probes: Sequence[Any],
        workload: Workload | None,
    ) -> list[Problem]:
        """Everything that does not fit; what depends on the workload is left out when there is none."""
        if self._declared.load:
            self._check_load(self._declared.load, workload)
        self._check_prober(workload)
        if workload:
            self._check_faults(faults, workload)
            self._check_references("objectives", objectives, workload)
            self._check_references("probes", probes, workload)
        self._check_windows(objectives)
        self._check_titles(objectives)
        self._check_twins(objectives, workload)
        if self._declared.control:
            self._check_control(objectives, workload)
        return self._problems

    def _say(self, place: Place, message: str) -> None:
        self._problems.append(self._document.problem(place, message))

    def _check_load(self, load: Load, workload: Workload | None) -> None:
        for field, check in (
            ("profile", lambda: self._catalogue.profile(load.profile)),
            ("behaviour", lambda: self._catalogue.behaviour(load.behaviour, load.options)),
        ):
            try:
                check()
            except InputError as error:
                self._problems += [
                    self._document.problem(("load", field), problem.message) for problem in error.problems
                ]
        self._check_target(("load", "target"), "load", load, workload)

    def _check_prober(self, workload: Workload | None) -> None:
        seen: set[str] = set()
        for index, probing in enumerate(self._declared.prober):
            self._check_target(("prober", index, probing.protocol, "target"), "prober", probing.aim, workload)
            if probing.title in seen:
                self._say(
                    ("prober", index), f"found a second stream called {probing.title!r}: give it a name of its own"
                )
            seen.add(probing.title)

    def _check_target(self, place: Place, who: str, aim: Load | Aim, workload: Workload | None) -> None:
        if workload is None:
            return
        service = workload.find(f"service/{aim.service}")
        if service is None:
            self._say(place, f"found {aim.target}, but the workload has no Service {aim.service}")
        elif service["spec"].get("type") != "NodePort":
            self._say(place, f"Service {aim.service} is no NodePort: the {who} could not reach it")
        elif aim.port and aim.port not in _ports(service):
            known = ", ".join(_ports(service))
            self._say(place, f"found port {aim.port}, expected one of {known} of Service {aim.service}")

    def _check_faults(self, faults: Iterable[Fault], workload: Workload) -> None:
        for index, fault in enumerate(faults):
            if fault.disruptive and not self._declared.disruptive:
                hits = f"{fault.kind} hits more than the experiment's own namespace"
                self._say(("faults", index, fault.kind), f"{hits}: expected disruptive: true at the top level")
            for selector in fault.selectors:
                if not any(parse_selector(selector).matches(labels) for labels in workload.pod_labels()):
                    place: Place = ("faults", index, fault.kind, _field_of(fault, selector))
                    self._say(place, f"found {selector!r}, but no pod of the workload has such labels")
            self._check_names(("faults", index, fault.kind, "of"), fault.workloads, workload)
            for place, why in wrong_images(fault.model_dump(by_alias=True, exclude_unset=True)):
                self._say(("faults", index, fault.kind, *place), why)

    def _check_windows(self, objectives: Sequence[Objective]) -> None:
        """A PromQL window must hold enough scrapes, and a query must read nothing else; the cluster's own interval is
        looked at when there is a cluster."""
        least, phases = SCRAPES_PER_WINDOW * QUICKEST_SCRAPE, self._declared.phases
        for index, objective in enumerate(objectives):
            wrong: dict[tuple[Place, str], None] = {}
            place: Place = ("objectives", index, SERIES)
            for name in windows(objective) if objective.kind == SERIES else ():
                length = phases.length(name)
                if length < least:
                    asked = f"{objective.title} is asked about {name}, which takes {length:g} s"
                    wrong[place, f"{asked}, expected at least {least:g} s: {SCRAPES_PER_WINDOW} scrapes"] = None
                    # Whatever its queries look back at is judged by the shortest phase that could be asked about.
                    length = math.inf
                for field, why in misfits(objective, length, QUICKEST_SCRAPE):
                    wrong[(*place, field), why] = None
            for where, message in wrong:
                self._say(where, message)

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
            # The nodes are the cluster's own, and no part of a workload.
            if of and of != NODES:
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

    def _check_control(self, objectives: Iterable[Objective], workload: Workload | None) -> None:
        place: Place = ("control",)
        if not self._declared.faults:
            self._say(place, "found a control arm and no faults, expected a fault that tells the two arms apart")
        if self._declared.disruptive:
            self._say(place, "found a control arm beside disruptive: what hits more than one namespace hits both arms")
        if not any(objective.checks_control for objective in objectives):
            known = ", ".join(sorted({objective.kind for objective in objectives}))
            self._say(place, f"found a control arm, but nothing of it to judge: {known} say nothing without a fault")
        for service in workload.objects if workload else ():
            ports = service["spec"].get("ports") or [] if service["kind"] == "Service" else []
            if any(port.get("nodePort") for port in ports):
                name = service["metadata"]["name"]
                self._say(place, f"found a fixed nodePort of Service {name}, which two arms cannot both have")

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


def _field_of(fault: Fault, selector: str) -> str:
    """The field in which a fault's selector stands."""
    fields = fault.model_dump(by_alias=True, exclude_unset=True)
    return next((name for name, value in fields.items() if value == selector), "selector")


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

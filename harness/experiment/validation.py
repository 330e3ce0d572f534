"""Check that the parts of an experiment fit together and fit the workload, without a cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from harness.cluster.kube.objects import reference
from harness.cluster.kube.patches.strategic import PatchError
from harness.common.documents import Document, Place
from harness.common.errors import InputError, Problem
from harness.common.labels import parse_selector
from harness.experiment import target_checks
from harness.experiment.alert_checks import alert_problems, title_problems
from harness.experiment.container_checks import unknown_containers
from harness.experiment.declaration import Declaration, Twin, describes
from harness.experiment.fault_needs import Manifests, undeclared_reach
from harness.experiment.forecast.forecast import forecast
from harness.experiment.load import Load
from harness.experiment.log_checks import logs_not_read
from harness.experiment.manifests import Workload
from harness.experiment.own_load import load_problems, own_load_problems, place_of
from harness.experiment.places import homes_of
from harness.experiment.rollout_conditions import impossible_rollouts, progress_deadline
from harness.experiment.timing import Timing, later
from harness.experiment.workload_checks import findings
from harness.experiment.workload_checks.images import wrong_images
from harness.experiment.workload_checks.pods import makes_unknown_pods, may_select, pod_sources
from harness.experiment.workload_checks.schema import POD_TEMPLATE, partial_misfits
from harness.faults.base import Fault
from harness.objectives.base import Objective
from harness.objectives.invariant import NODES
from harness.objectives.rollout_halts import RolloutHalts
from harness.probes.prometheus.query import SERIES, misfits, windows
from harness.prometheus.promql import SCRAPES_PER_WINDOW
from harness.safety.guard.policy import Policy
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.target.declaration import Target

# The scrape interval of owned clusters in seconds, which is the shortest supported one.
QUICKEST_SCRAPE = 1.0

HALTS = RolloutHalts.kind


class Coherence:
    """Collects the problems of an experiment, each with its place in the file."""

    def __init__(
        self, document: Document, declared: Declaration, load: Catalogue, numbers: Mapping[str, Sequence[int]]
    ) -> None:
        self._document, self._declared = document, declared
        self._catalogue, self._numbers = load, numbers
        self._problems: list[Problem] = []
        # What the workload lacks for the faults: the number of the fault, and the place in its parameters.
        self._needs: set[tuple[int, Place]] = set()
        # The faults that are not injected together with the others.
        self._later: frozenset[int] = frozenset()

    def problems(
        self,
        faults: Sequence[Fault],
        objectives: Sequence[Objective],
        probes: Sequence[Any],
        workload: Workload | None,
        timings: Sequence[Timing] = (),
    ) -> list[Problem]:
        """Return all problems. Checks that need the workload are left out if it is None."""
        self._later = later(timings)
        for name, load in self._declared.every_load.items():
            self._check_load(place_of(name), load, workload)
        self._check_prober(workload)
        if workload:
            self._check_faults(faults, workload)
            longest = self._declared.phases.fault.at_most
            unmet = impossible_rollouts(timings, faults, workload, longest)
            self._problems += (self._document.problem(*each) for each in unmet)
            self._check_references("objectives", objectives, workload)
            self._check_references("probes", probes, workload)
            self._check_probes(probes, workload)
            self._check_deadlines(objectives, workload)
        self._check_windows(objectives)
        found = alert_problems(objectives, self._declared.phases, len(self._declared.faults), workload)
        # A probe that could not be read is reported already, and an objective may name it.
        logs = logs_not_read(objectives, probes) if len(probes) == len(self._declared.probes) else ()
        names = unknown_containers(objectives, workload) if workload else ()
        for place, message in (*found, *logs, *names, *title_problems(objectives)):
            self._add(place, message)
        self._check_limits(objectives)
        self._check_twins(objectives, workload)
        if workload:
            self._check_guard(faults, workload)
        if self._declared.control:
            self._check_control(objectives, workload)
        return self._problems

    def _add(self, place: Place, message: str) -> None:
        if len(place) > 1 and place[0] in self._numbers and isinstance(place[1], int):
            # The lists that are checked here lack the parts that could not be read; ``numbers`` has their places.
            place = (place[0], self._numbers[str(place[0])][place[1]], *place[2:])
        self._problems.append(self._document.problem(place, message))

    def _check_load(self, place: Place, load: Load, workload: Workload | None) -> None:
        try:
            load = load.including(self._document.file.parent)
        except InputError as error:
            self._problems += [self._document.problem((*place, "options"), one.message) for one in error.problems]
            return
        checks: list[tuple[str, Callable[[], object]]] = [("profile", lambda: self._catalogue.profile(load.profile))]
        if not load.locustfile and not load.replay:
            checks.append(("behaviour", lambda: target_checks.behaviour_of(load, self._catalogue)))
        for field, check in checks:
            try:
                check()
            except InputError as error:
                self._problems += [
                    self._document.problem((*place, field), problem.message) for problem in error.problems
                ]
        self._problems += own_load_problems(load, workload, self._document, place)
        self._check_target((*place, "target"), load.target, workload)

    def _check_prober(self, workload: Workload | None) -> None:
        seen: set[str] = set()
        for index, probing in enumerate(self._declared.prober):
            self._check_target(("prober", index, probing.protocol, "target"), probing.aim.target, workload)
            if probing.title in seen:
                self._add(
                    ("prober", index), f"found a second stream named {probing.title!r}, expected unique names: set name"
                )
            seen.add(probing.title)

    def _check_target(self, place: Place, target: Target, workload: Workload | None) -> None:
        for inner, message in target_checks.found_in(target, workload, self._document.file.parent):
            self._add((*place, *inner), message)

    def _check_faults(self, faults: Iterable[Fault], workload: Workload) -> None:
        for index, fault in enumerate(faults):
            for message in undeclared_reach(fault, disruptive=self._declared.disruptive, safety=self._declared.safety):
                self._add(("faults", index, fault.kind), message)
            if len(homes := homes_of(fault, workload)) > 1:
                message = f"matches pods in the namespaces {' and '.join(homes)}, expected pods of one namespace"
                self._add(("faults", index, fault.kind), f"{message}: make one fault for each")
            for place, message in fault.needs_of(Manifests(workload)):
                self._needs.add((index, place))
                self._add(("faults", index, fault.kind, *place), message)
            # Other fields than those of a pod template would inject nothing.
            for inner, message in partial_misfits(getattr(fault, "patch", None), POD_TEMPLATE):
                self._add(("faults", index, fault.kind, "patch", *inner), message)
            for place, why in wrong_images(fault.model_dump(by_alias=True, exclude_unset=True)):
                self._add(("faults", index, fault.kind, *place), why)

    def _check_container(self, place: Place, part: Any, workload: Workload) -> None:  # noqa: ANN401 - any kind of probe
        """Check that every pod that a probe may use has the container that it names."""
        container, of = getattr(part, "container", None), getattr(part, "of", None)
        if container is None or makes_unknown_pods(workload.objects):
            return
        selector = getattr(part, "selector", "")
        for source in pod_sources(workload.objects):
            selected = reference(source.item) == of if of else source.may_match(parse_selector(selector))
            names = [str(found.get("name")) for found in source.serving]
            if selected and container not in names:
                known = f"expected one of {', '.join(names)} of {reference(source.item)}"
                self._add((*place, "container"), f"found {container!r}, {known}")

    def _check_deadlines(self, objectives: Sequence[Objective], workload: Workload) -> None:
        """Check that ``rolloutHalts`` waits longer than the Deployment's deadline: it is not reported any earlier."""
        for index, objective in enumerate(objectives):
            found = workload.find(getattr(objective, "of", "")) if objective.kind == HALTS else None
            if found is None:
                continue
            deadline, default = progress_deadline(found)
            within, fault = getattr(objective, "within", math.inf), self._declared.phases.fault.at_most
            limit = f"progressDeadlineSeconds of {reference(found)} is {deadline:g} s{default}"
            place: Place = ("objectives", index, HALTS, "within")
            if within <= deadline:
                self._add(place, f"found {within:g} s, expected more than {deadline:g} s: {limit}")
            elif fault <= deadline:
                self._add(("phases", "fault"), f"found {fault:g} s, expected more than {deadline:g} s: {limit}")

    def _check_guard(self, faults: Sequence[Fault], workload: Workload) -> None:
        """Check that the faults find victims and that the guard's defaults do not refuse them, also for each twin.

        A project's guard file is only checked in a run, since it depends on the cluster.
        """
        declared = self._declared
        # If a fault could not be read, the effect of all faults together is unknown.
        if len(faults) != len(declared.faults):
            return
        # What a fault lacks is already reported, and its forecast would only repeat it.
        lacking = {number for number, _ in self._needs}
        guard = partial(forecast, faults=faults, policy=Policy(), later=self._later)
        found = guard(workload, safety=declared.safety, namespace=declared.metadata.name, without=lacking)
        for number, text in found.impossible.items():
            self._add(("faults", number, faults[number].kind), f"cannot be injected: {text}")
        for text in found.refused:
            self._add(("faults",), f"the guard refuses this: {text}")
        for name, twin in declared.twins.items():
            try:
                patched = workload.patched(twin.patch)
            except (KeyError, PatchError):
                # Already reported with the twin's patch.
                continue
            lacking = {number for number, _ in self._needs | self._check_needs_of_twin(name, faults, patched)}
            safety = twin.safety or declared.safety
            title = f"{declared.metadata.name}[{name}]"
            found = guard(patched, safety=safety, namespace=title, without=lacking)
            for number, text in found.impossible.items():
                self._add(("twins", name), f"faults[{number}].{faults[number].kind} cannot be injected: {text}")
            for text in found.refused:
                self._add(("twins", name), f"the guard refuses this: {text}")

    def _check_needs_of_twin(self, name: str, faults: Sequence[Fault], patched: Workload) -> set[tuple[int, Place]]:
        """Check that a twin's patch removes nothing that the faults need; return the fault and the place of each need.

        Needs that the unpatched workload does not meet either are not reported again.
        """
        # Fields of the wrong type are already reported with the patch.
        if dict(patched.malformed()):
            return set()
        manifests, lacking = Manifests(patched), set()
        for number, fault in enumerate(faults):
            for place, message in fault.needs_of(manifests):
                lacking.add((number, place))
                if (number, place) not in self._needs:
                    field = ".".join(map(str, (fault.kind, *place)))
                    self._add(("twins", name), f"faults[{number}].{field}: {message}")
        return lacking

    def _check_windows(self, objectives: Sequence[Objective]) -> None:
        """Check that a PromQL window holds enough scrapes and that a query does not read data outside of its phase.

        The real scrape interval is checked once a cluster is connected.
        """
        least, phases = SCRAPES_PER_WINDOW * QUICKEST_SCRAPE, self._declared.phases
        for index, objective in enumerate(objectives):
            wrong: dict[tuple[Place, str], None] = {}
            place: Place = ("objectives", index, SERIES)
            for name in windows(objective) if objective.kind == SERIES else ():
                length = phases.measured(name)
                if length < least:
                    found = f"{objective.title} is evaluated over {name}, which takes {length:g} s"
                    wrong[place, f"{found}, expected at least {least:g} s: {SCRAPES_PER_WINDOW} scrapes"] = None
                    # The phase is already reported as too short, so do not report its look-back as well.
                    length = math.inf
                for field, why in misfits(objective, length, QUICKEST_SCRAPE):
                    wrong[(*place, field), why] = None
            for where, message in wrong:
                self._add(where, message)

    def _check_limits(self, objectives: Sequence[Objective]) -> None:
        """Check that the loads fit the objectives that judge them."""
        for place, message in load_problems(self._declared, objectives, self._catalogue, self._document.file.parent):
            self._add(place, message)

    def _check_references(self, key: str, parts: Iterable[Any], workload: Workload) -> None:
        for index, part in enumerate(parts):
            of = getattr(part, "of", None)
            # The nodes belong to the cluster, not to the workload.
            if of and of != NODES:
                self._check_names((key, index, part.kind, "of"), [of], workload)

    def _check_probes(self, probes: Sequence[Any], workload: Workload) -> None:
        for index, probe in enumerate(probes):
            selector = getattr(probe, "selector", "")
            if selector and not may_select(workload.objects, parse_selector(selector)):
                place: Place = ("probes", index, probe.kind, "selector")
                self._add(place, f"found {selector!r}, but no pod of the workload has such labels")
            self._check_container(("probes", index, probe.kind), probe, workload)

    def _check_names(self, place: Place, names: Iterable[str], workload: Workload) -> None:
        known = [*workload.names(), *workload.made]
        for name in names:
            if name not in known:
                self._add(place, f"found {name}, but the workload has only {', '.join(known)}")

    def _check_twins(self, objectives: Sequence[Objective], workload: Workload | None) -> None:
        # An objective that could not be read is reported already, and a twin may break it.
        unread = [each for n, each in enumerate(self._declared.objectives) if n not in self._numbers["objectives"]]
        for name, twin in self._declared.twins.items():
            for broken in twin.breaks:
                if not any(broken in each for each in unread) and not any(
                    describes(objective, broken) for objective in objectives
                ):
                    kinds = ", ".join(sorted({objective.kind for objective in objectives}))
                    self._add(("twins", name, "breaks"), f"found {broken!r}, expected one of the objectives: {kinds}")
            if workload:
                self._check_patch(name, twin, workload)

    def _check_control(self, objectives: Iterable[Objective], workload: Workload | None) -> None:
        place: Place = ("control",)
        if not self._declared.faults:
            self._add(place, "found a control arm but no faults, expected a fault: the arms would not differ")
        if self._declared.disruptive:
            self._add(
                place,
                "found a control arm in a disruptive experiment, expected one or the other: a fault that hits more "
                "than one namespace hits both arms",
            )
        if not any(objective.checks_control for objective in objectives):
            known = ", ".join(sorted({objective.kind for objective in objectives}))
            self._add(place, f"found a control arm, but no objective to compare it by: {known} need a fault")
        for message in filter(None, map(target_checks.shared, self._declared.targets)):
            self._add(place, f"found a control arm, but {message}")
        for service in workload.objects if workload else ():
            ports = service["spec"].get("ports") or [] if service["kind"] == "Service" else []
            if any(port.get("nodePort") for port in ports):
                name = service["metadata"]["name"]
                self._add(place, f"found a fixed nodePort in Service {name}, expected none: the arms cannot share it")

    def _check_patch(self, name: str, twin: Twin, workload: Workload) -> None:
        place: Place = ("twins", name, "patch")
        for named in twin.patch:
            self._check_names((*place, named), [named], workload)
        if not all(workload.find(named) for named in twin.patch):
            return
        try:
            patched = workload.patched(twin.patch)
        except PatchError as refused:
            self._add((*place, *refused.place), refused.message)
            return
        for named, patch in twin.patch.items():
            if patch is not None and patched.find(named) == workload.find(named):
                self._add((*place, named), "has no effect: the object already has these values")
        malformed = dict(patched.malformed())
        for named, error in malformed.items():
            self._problems += self._document.problems(error, (*place, named))
        if not malformed:
            before = {(reference(found.item), found.place, found.message) for found in findings(workload)}
            for found in findings(patched):
                named = reference(found.item)
                if (named, found.place, found.message) not in before:
                    self._add((*place, named, *found.place), found.message)

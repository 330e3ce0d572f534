"""Check the alerts of an experiment without a cluster: time limits that the phases are too short for, and servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.common.documents import Place
from harness.experiment.manifests import Workload
from harness.experiment.phases import Phases
from harness.model.quantities import show_seconds
from harness.objectives.alert import Alert
from harness.objectives.base import Objective
from harness.probes.prometheus.query import SERIES


def alert_problems(
    objectives: Sequence[Objective], phases: Phases, faults: int, workload: Workload | None
) -> Iterator[tuple[Place, str]]:
    """Yield what makes an alert undecidable, each with its place below the experiment; ``faults`` is their number."""
    for index, alert in enumerate(objectives):
        if not isinstance(alert, Alert):
            continue
        place: Place = ("objectives", index, Alert.kind)
        if not faults:
            yield place, "found an alert but no faults, expected a fault: its times count from the fault"
        if alert.fires_within and alert.fires_within >= phases.fault.at_most:
            limit = f"phases.fault ({show_seconds(phases.fault.at_most)}), in which the alert must fire"
            yield (*place, "firesWithin"), f"found {show_seconds(alert.fires_within)}, expected less than {limit}"
        after = phases.recovery + phases.settle
        if alert.resolves_within and alert.resolves_within >= after:
            limit = f"phases.recovery and phases.settle together ({show_seconds(after)})"
            yield (*place, "resolvesWithin"), f"found {show_seconds(alert.resolves_within)}, expected less than {limit}"
        for field, service in (("prometheus", alert.prometheus), ("alertmanager", alert.own_alertmanager)):
            yield from (((*place, field), message) for message in _service_problems(service or "", workload))


def title_problems(objectives: Sequence[Objective]) -> Iterator[tuple[Place, str]]:
    """Yield the objectives whose observations are stored in the timeline under a title that another one has too."""
    seen: set[tuple[str, str]] = set()
    for index, objective in enumerate(objectives):
        named = (objective.kind, objective.title)
        if objective.kind in {SERIES, Alert.kind} and named in seen:
            place: Place = ("objectives", index, objective.kind, "name")
            yield place, f"found {objective.title!r} twice, expected unique names"
        seen.add(named)


def _service_problems(service: str, workload: Workload | None) -> Iterator[str]:
    name, _, port = service.partition(":")
    if not name or workload is None:
        return
    found = workload.find(name)
    if found is None:
        known = ", ".join(each for each in workload.names() if each.startswith("service/")) or "no Service"
        yield f"found {name}, but the workload has {known}"
        return
    ports = found["spec"].get("ports") or []
    names = [str(each.get("name") or each.get("port")) for each in ports]
    if port and not any(port in {each.get("name"), str(each.get("port"))} for each in ports):
        yield f"found the port {port}, but {name} has {', '.join(names) or 'none'}"

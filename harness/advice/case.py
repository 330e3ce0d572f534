"""What a rule looks at: an experiment, what was observed, and which objectives were missed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.labels import matches_labels
from harness.experiment.declaration import Experiment
from harness.experiment.workload_checks.pods import PodSource, pod_sources
from harness.faults.base import Effect
from harness.judging.judge import Judged
from harness.model.finding import Finding
from harness.model.phase_names import BASELINE, FAULT, PHASES
from harness.model.quantities import counted
from harness.model.requests import Requests
from harness.model.timeline import Injection, Observation, Timeline
from harness.model.verdict import Verdict
from harness.objectives.recovery.pods import PodSample, pods_of, victims

# The handlers of probes, those that show most first.
HANDLERS = ("httpGet", "grpc", "exec", "tcpSocket")
DISRUPTED = tuple(name for name in PHASES if name != BASELINE)


@dataclass(frozen=True, slots=True)
class Subject:
    """A workload of the experiment: its object, its pods' template, and what was observed of its pods."""

    source: PodSource
    seen: tuple[PodSample, ...]
    hit: frozenset[str]

    @property
    def name(self) -> str:
        """``kind/name``."""
        return reference(self.source.item)

    @property
    def item(self) -> Object:
        return self.source.item

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec of the workload object."""
        return self.source.item.get("spec") or {}

    @property
    def pod(self) -> Mapping[str, Any]:
        """The spec of its pods."""
        return self.source.spec

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """The containers that run as long as the pod does."""
        return list(self.source.serving)

    @property
    def victims(self) -> list[PodSample]:
        """The observations of its pods that a fault hit."""
        return [sample for sample in self.seen if sample.uid in self.hit]

    def of_spec(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the patch of the workload's spec, by the name of its object."""
        return {self.name: {"spec": dict(patch)}}

    def of_pod(self, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the patch of the spec of its pods."""
        return self.of_spec({"template": {"spec": dict(patch)}})

    def of_container(self, container: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the patch of one of its containers."""
        key = "containers" if container in (self.pod.get("containers") or ()) else "initContainers"
        return self.of_pod({key: [{"name": container["name"], **patch}]})


@dataclass(frozen=True)
class Case:
    """One experiment that did not hold. All is read-only."""

    experiment: Experiment
    timeline: Timeline
    findings: Judged

    @cached_property
    def subjects(self) -> list[Subject]:
        """The workloads that the faults hit; all of them if none of their pods was hit."""
        hit = frozenset(victims(self.timeline))
        found = [
            Subject(source, tuple(pods_of(self.timeline, reference(source.item))), hit)
            for source in pod_sources(self.experiment.workload.objects)
            if source.item["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Rollout"}
        ]
        changed = {str(victim) for injection in self.timeline.injections for victim in injection.victims}
        struck = [each for each in found if each.victims or each.name in changed]
        return struck or found

    @cached_property
    def served(self) -> list[Subject]:
        """The subjects that a Service of the workload selects."""
        selectors = [
            {"matchLabels": selector}
            for item in self.objects("Service")
            if (selector := (item.get("spec") or {}).get("selector"))
        ]
        return [each for each in self.subjects if any(matches_labels(one, each.source.labels) for one in selectors)]

    def objects(self, kind: str) -> Iterator[Object]:
        """Yield the objects of the workload of one kind."""
        return (item for item in self.experiment.workload.objects if item["kind"] == kind)

    def states(self, series: str, subject: str) -> list[Observation]:
        """Return what was observed of a watched subject from the fault on, and what was in force when it began."""
        seen = [each for each in self.timeline.observations(series, subject) if isinstance(each.value, Mapping)]
        fault = self.timeline.phase(FAULT)
        if fault is None:
            return seen
        return [each for each in seen if each.at < fault.start][-1:] + [each for each in seen if each.at >= fault.start]

    def missed(self, *kinds: str) -> list[Finding]:
        """Return the findings of the missed objectives of these kinds; of all kinds without any."""
        return [finding for _, finding in self.broken(*kinds)]

    def titles(self, *kinds: str) -> tuple[str, ...]:
        """Return the titles of the missed objectives of these kinds; of all kinds without any."""
        return tuple(objective.title for objective, _ in self.broken(*kinds))

    def broken(self, *kinds: str) -> Judged:
        """Return the missed objectives of these kinds, each with its finding; of all kinds without any."""
        return [
            (objective, finding)
            for objective, finding in self.findings
            if finding.verdict is Verdict.BROKEN and (not kinds or objective.kind in kinds)
        ]

    def budgets(self, subject: Subject) -> list[Object]:
        """Return the PodDisruptionBudgets that select the pods of a subject."""
        labels = subject.source.labels
        return [
            item
            for item in self.objects("PodDisruptionBudget")
            if matches_labels((item.get("spec") or {}).get("selector"), labels)
        ]

    def has_effect(self, *effects: Effect) -> bool:
        """Return whether a fault that was injected has one of these effects."""
        injected = {injection.number for injection in self.timeline.injections}
        faults = [fault for number, fault in enumerate(self.experiment.faults) if number in injected]
        return any(getattr(fault, "effect", None) in effects for fault in faults)

    @property
    def evicts(self) -> bool:
        """Whether a fault of the experiment evicts pods, which a PodDisruptionBudget may refuse."""
        return any(fault.obeys_budgets for fault in self.experiment.faults)

    @property
    def injections(self) -> Sequence[Injection]:
        return self.timeline.injections

    @property
    def undone_from(self) -> float:
        """When the first undo of a fault began, in seconds on the timeline; infinite without any."""
        return min((each.undone.low for each in self.injections if each.undone), default=math.inf)

    def beyond_desired(self, subject: Subject, count: str) -> list[int]:
        """Return how many more replicas than desired a workload had at each observation after the first injection.

        ``count`` is a number in its status, such as ``available``.
        """
        injected = self.timeline.injected()
        values = [
            seen.value
            for seen in self.timeline.observations("workloads", subject.name)
            if injected is not None and seen.at >= injected.low and isinstance(seen.value, Mapping)
        ]
        known = [(value.get(count), value.get("desired")) for value in values]
        return [number - desired for number, desired in known if number is not None and desired is not None]

    @cached_property
    def failed(self) -> Requests:
        """The requests of the load that failed after the baseline."""
        due = self.timeline.requests_in(DISRUPTED)
        return due.where(~due.ok)

    def failures(self, failed: Requests | None = None) -> str:
        """Return ``12 requests failed (10 refused, 2 timeout)``, or "" if none did."""
        failed = self.failed if failed is None else failed
        if not failed:
            return ""
        outcomes = ", ".join(f"{number} {name}" for name, number in failed.outcomes.most_common(3))
        return f"{counted(len(failed), 'request')} failed ({outcomes})"


def too_many(finding: Finding) -> bool:
    """Return whether an objective was missed by a number of replicas above its limit."""
    return finding.unit == "replicas" and finding.comparison == "<="


def replicas_of(item: Object) -> int:
    """Return the number of replicas that a workload asks for: one by default."""
    found = (item.get("spec") or {}).get("replicas")
    return 1 if found is None else int(found)


def handler_of(container: Mapping[str, Any], *probes: str) -> dict[str, Any]:
    """Return how a container is probed: the handler of one of its probes, else a connection to its first port."""
    for probe in probes:
        for kind in HANDLERS:
            if found := (container.get(probe) or {}).get(kind):
                return {kind: found}
    ports = container.get("ports") or ()
    return {"tcpSocket": {"port": ports[0].get("name") or ports[0]["containerPort"]}} if ports else {}

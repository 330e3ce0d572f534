"""What Argo Rollouts decided about a new version, and the analysis by which it decided."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case, Subject
from harness.cluster.kube.client import Object
from harness.common.shapes import listed, mapping

# Why Argo Rollouts pauses a rollout whose analysis neither succeeded nor failed.
_UNDECIDED = "InconclusiveAnalysisRun"


def rollouts(case: Case) -> list[Subject]:
    """Return the subjects that Argo Rollouts rolls out."""
    return [each for each in case.subjects if each.item["kind"] == "Rollout"]


def strategy(subject: Subject, name: str) -> Mapping[str, Any] | None:
    """Return the strategy ``canary`` or ``blueGreen`` of a Rollout; None if it has another one."""
    found = mapping(subject.spec.get("strategy"))
    return mapping(found.get(name)) if name in found else None


def templates(case: Case, subject: Subject) -> Iterator[Object]:
    """Yield the AnalysisTemplates of the workload that the strategy of a Rollout names."""
    named = set(_names(subject.spec.get("strategy")))
    return (item for item in case.objects("AnalysisTemplate") if item["metadata"]["name"] in named)


def _names(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "templateName":
                yield str(inner)
            else:
                yield from _names(inner)
    for inner in listed(value):
        yield from _names(inner)


def metrics(template: Object) -> list[Mapping[str, Any]]:
    """Return the metrics of an AnalysisTemplate."""
    return [mapping(metric) for metric in listed(mapping(template.get("spec")).get("metrics"))]


def was_promoted(case: Case, subject: Subject) -> bool:
    """Return whether a new version became the stable one after the first injection and before the first undo."""
    return any(
        each.get("current") != before.get("stable") and each.get("stable") == each.get("current")
        for before, each in _changes(case, subject)
    )


def was_undecided(case: Case, subject: Subject) -> bool:
    """Return whether a Rollout paused in that time, since its analysis neither succeeded nor failed."""
    return any(_UNDECIDED in (each.get("paused") or ()) for _, each in _changes(case, subject))


def _changes(case: Case, subject: Subject) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the state of a Rollout before the first injection, with each state from there until the first undo."""
    injected = case.timeline.injected()
    if injected is None:
        return
    before: Mapping[str, Any] | None = None
    for seen in case.timeline.observations("workloads", subject.name):
        delivery = mapping(mapping(seen.value).get("delivery"))
        if seen.at < injected.low:
            before = delivery
        elif before is not None and delivery and seen.at < case.undone_from:
            yield before, delivery

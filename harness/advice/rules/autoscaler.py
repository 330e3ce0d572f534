"""An autoscaler that cannot add replicas: none, one at its maximum, or one without a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.advice.case import Case, Subject
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference

_REQUESTS = {"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}}
_EXPLAINS = ("replicas", "latency", "availability", "errorRate")


def _no_metric(case: Case, autoscaler: str) -> str:
    """Return the message of the autoscaler's condition that it cannot compute, if it was ever so in the fault."""
    for seen in case.timeline.observations("autoscalers", autoscaler):
        conditions: Mapping[str, Any] = (seen.value or {}).get("conditions") or {}
        active = conditions.get("ScalingActive") or {}
        if active.get("status") == "False" and str(active.get("reason", "")).startswith("FailedGet"):
            return f"{active['reason']}: {active.get('message', '')}"
    return ""


def _target(case: Case, item: Object) -> Subject | None:
    target = (item.get("spec") or {}).get("scaleTargetRef") or {}
    name = f"{str(target.get('kind', '')).lower()}/{target.get('name')}"
    return next((each for each in case.subjects if each.name == name), None)


def _without_requests(subject: Subject) -> Mapping[str, Any] | None:
    return next((each for each in subject.containers if not (each.get("resources") or {}).get("requests")), None)


def _of_autoscaler(case: Case, item: Object, explains: tuple[str, ...]) -> Iterator[Advice]:
    name, spec, subject = reference(item), item.get("spec") or {}, _target(case, item)
    if failing := _no_metric(case, name):
        lacking = _without_requests(subject) if subject else None
        why = f": container {lacking['name']} has no requests" if lacking else ""
        patch = subject.of_container(lacking, _REQUESTS) if subject and lacking else {}
        yield Advice(f"{name} cannot compute a number of replicas{why}", failing, Strength.OBSERVED, explains, patch)
    most = int(spec.get("maxReplicas", 1))
    counts = [seen.value.get("desired") for seen in case.timeline.observations("autoscalers", name) if seen.value]
    if any(count is not None and count >= most for count in counts):
        yield Advice(
            f"{name} is at its maximum",
            f"it wanted {most} of at most {most} replicas",
            Strength.OBSERVED,
            explains,
            {name: {"spec": {"maxReplicas": 2 * most + 1}}},
        )


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    autoscalers = list(case.objects("HorizontalPodAutoscaler"))
    for item in autoscalers if explains else ():
        yield from _of_autoscaler(case, item, explains)
    if not autoscalers and case.titles("replicas"):
        for subject in case.subjects:
            yield Advice(
                f"no autoscaler scales {subject.name}",
                "the workload has no HorizontalPodAutoscaler",
                Strength.LIKELY,
                case.titles("replicas"),
            )


RULE = Rule("autoscaler", _find)

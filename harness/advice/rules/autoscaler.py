"""An autoscaler that cannot add replicas: none, one at its maximum, or one without a metric."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.advice.case import Case, Subject, too_many
from harness.advice.rule import Advice, Rule, Strength
from harness.cluster.kube.autoscalers import autoscalers, is_scaled_object, target_of
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.model.phase_names import FAULT
from harness.model.quantities import counted

# That of an autoscaler without metrics.
_DEFAULT_METRIC = {"resource": {"name": "cpu", "target": {"type": "Utilization"}}}
# To be set to what a replica needs.
_REQUESTS = {"cpu": "100m", "memory": "128Mi"}
# The smallest and the largest number of replicas in an autoscaler, and in a ScaledObject.
_LIMITS = {False: ("minReplicas", "maxReplicas"), True: ("minReplicaCount", "maxReplicaCount")}
_EXPLAINS = ("scaleOut", "replicas", "latency", "availability", "errorRate")


def _without_metric(case: Case, autoscaler: str) -> tuple[str, int | None]:
    """Return why the autoscaler could not compute when the fault phase ended, or "", and its replicas then."""
    fault = case.timeline.phase(FAULT)
    # Every new autoscaler, and one whose pods are all new, has no metrics for a while: that explains nothing.
    for seen in [each for each in case.states("autoscalers", autoscaler) if fault is None or each.at < fault.end][-1:]:
        active = (seen.value.get("conditions") or {}).get("ScalingActive") or {}
        if active.get("status") == "False" and str(active.get("reason", "")).startswith("FailedGet"):
            return f"{active['reason']}: {active.get('message', '')}", seen.value.get("current")
    return "", None


def _wanted_until_the_end(case: Case, autoscaler: str, number: int) -> bool:
    """Return whether an autoscaler wanted so many replicas, and no fewer again before the fault phase ended."""
    fault = case.timeline.phase(FAULT)
    seen = [
        count
        for each in case.states("autoscalers", autoscaler)
        if (count := each.value.get("desired")) is not None and (fault is None or each.at < fault.end)
    ]
    reached = next((index for index, count in enumerate(seen) if count >= number), len(seen))
    return reached < len(seen) and min(seen[reached:]) >= number


def _has(case: Case, item: Object, number: int) -> bool:
    """Return whether the target of an autoscaler had so many ready replicas: if not, its maximum limited nothing."""
    seen = case.states("workloads", target_of(item))
    return not seen or any((each.value.get("ready") or 0) >= number for each in seen)


def _without_request(subject: Subject, spec: Mapping[str, Any]) -> tuple[Mapping[str, Any], str] | None:
    """Return a container without the request that a utilization is a share of, and the resource."""
    metrics: Sequence[Mapping[str, Any]] = spec.get("metrics") or [_DEFAULT_METRIC]
    for metric in metrics:
        source = metric.get("resource") or metric.get("containerResource") or {}
        if (source.get("target") or {}).get("type") != "Utilization":
            continue
        for container in subject.containers:
            given = container.get("resources") or {}
            # The API server copies a limit to a request that is missing.
            known = {**(given.get("limits") or {}), **(given.get("requests") or {})}
            if source["name"] not in known and source.get("container") in {None, container["name"]}:
                return container, str(source["name"])
    return None


def _unserved(spec: Mapping[str, Any]) -> str:
    """Return which metrics the autoscaler asks custom.metrics.k8s.io for, to be appended to a cause; may be empty."""
    asked = []
    for metric in spec.get("metrics") or ():
        if pods := metric.get("pods"):
            asked.append(f"{pods['metric']['name']} of its pods")
        elif found := metric.get("object"):
            asked.append(f"{found['metric']['name']} of {reference(_described(found))}")
    return f": no value of {', '.join(asked)}" if asked else ""


def _described(metric: Mapping[str, Any]) -> Object:
    described = metric["describedObject"]
    return {"kind": described["kind"], "metadata": {"name": described["name"]}}


def _of_autoscaler(case: Case, item: Object, origin: Object, explains: tuple[str, ...]) -> Iterator[Advice]:
    name, spec, target = reference(item), item.get("spec") or {}, target_of(item)
    subject = next((each for each in case.subjects if each.name == target), None)
    failing, held = _without_metric(case, name)
    if failing:
        lacking = _without_request(subject, spec) if subject else None
        why, patch = _unserved(spec), {}
        if subject and lacking:
            container, resource = lacking
            why = f": container {container['name']} has no request for {resource}"
            requests = {resource: _REQUESTS.get(resource, "1")}
            patch = subject.of_container(container, {"resources": {"requests": requests}})
        least = int(spec.get("minReplicas", 1))
        if not why and held == least:
            why = f", so it keeps its minimum: {counted(least, 'replica')}"
            patch = {reference(origin): {"spec": {_LIMITS[is_scaled_object(origin)][0]: 2 * least + 1}}}
        yield Advice(f"{name} cannot compute a number of replicas{why}", failing, Strength.OBSERVED, explains, patch)
    most = int(spec.get("maxReplicas", 1))
    few = tuple(each.title for each, finding in case.broken(*_EXPLAINS) if not too_many(finding))
    if few and _wanted_until_the_end(case, name, most) and _has(case, item, most):
        yield Advice(
            f"{name} is at its maximum",
            f"it wanted {most} of at most {most} replicas",
            Strength.OBSERVED,
            few,
            {reference(origin): {"spec": {_LIMITS[is_scaled_object(origin)][1]: 2 * most + 1}}},
        )


def _find(case: Case) -> Iterator[Advice]:
    explains = case.titles(*_EXPLAINS)
    scaled = list(autoscalers(case.experiment.workload.objects))
    for item, origin in scaled if explains else ():
        yield from _of_autoscaler(case, item, origin, explains)
    if not scaled and case.titles("replicas"):
        for subject in case.subjects:
            yield Advice(
                f"no autoscaler scales {subject.name}",
                "the workload has no HorizontalPodAutoscaler",
                Strength.LIKELY,
                case.titles("replicas"),
            )


RULE = Rule("autoscaler", _find)

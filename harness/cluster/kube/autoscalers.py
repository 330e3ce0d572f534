"""The autoscalers that objects of a workload are or become: KEDA makes one of each ScaledObject."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import AUTOSCALERS

_SCALED_OBJECT = "ScaledObject"
_CUSTOM = frozenset({"Pods", "Object"})
# KEDA's defaults, as its reference has them: seconds between two looks at a source, and the largest number of replicas.
_POLLING, _MOST = 30, 100


def autoscalers(objects: Iterable[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield each autoscaler with the object of the workload that has its settings: itself, or a ScaledObject."""
    for item in objects:
        if item["kind"] == AUTOSCALERS.kind:
            yield item, item
        elif is_scaled_object(item):
            yield _made_of(item), item


def metric_kinds(objects: Iterable[Object]) -> Iterator[str]:
    """Yield the types of the metrics that autoscalers among the objects read: Resource, External …"""
    for item, origin in autoscalers(objects):
        metrics = item["spec"].get("metrics")
        if not is_scaled_object(origin):
            yield from (str(metric.get("type")) for metric in metrics or [{"type": "Resource"}])
            continue
        yield from (str(metric["type"]) for metric in metrics)
        if len(metrics) < len(_triggers(origin)):
            yield "External"


def reads_custom_metrics(item: Object) -> bool:
    """Return whether an object is an autoscaler with metrics from custom.metrics.k8s.io."""
    return item["kind"] == AUTOSCALERS.kind and not _CUSTOM.isdisjoint(metric_kinds([item]))


def target_of(item: Object) -> str:
    """Return what an autoscaler scales: ``deployment/NAME``."""
    target = _spec(item).get("scaleTargetRef") or {}
    return f"{str(target.get('kind', '')).lower()}/{target.get('name')}"


def is_scaled_object(item: Object) -> bool:
    """Return whether an object is a ScaledObject of KEDA."""
    return item["kind"] == _SCALED_OBJECT and str(item["apiVersion"]).startswith("keda.sh/")


def polling_interval(scaled_object: Object) -> float:
    """Return how many seconds pass between two looks of KEDA at the source while there is no replica."""
    return float(_spec(scaled_object).get("pollingInterval", _POLLING))


def _made_of(scaled_object: Object) -> Object:
    """Return the autoscaler that KEDA makes, as far as it is certain: its metrics of CPU and memory, not the others."""
    spec, name = _spec(scaled_object), scaled_object["metadata"]["name"]
    advanced = (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", **(spec.get("scaleTargetRef") or {})}
    return {
        "apiVersion": AUTOSCALERS.group_version,
        "kind": AUTOSCALERS.kind,
        "metadata": {"name": advanced.get("name") or f"keda-hpa-{name}"},
        "spec": {
            "scaleTargetRef": target,
            # An autoscaler has at least one replica; KEDA itself removes the last one and adds the first.
            "minReplicas": max(1, spec.get("minReplicaCount") or 0),
            "maxReplicas": spec.get("maxReplicaCount", _MOST),
            "behavior": advanced.get("behavior") or {},
            "metrics": list(filter(None, map(_resource, _triggers(scaled_object)))),
        },
    }


def _resource(trigger: Mapping[str, Any]) -> Object | None:
    """Return the metric of a trigger of type cpu or memory; None for another type, whose metric KEDA names."""
    kind, metadata = trigger.get("type"), trigger.get("metadata") or {}
    if kind not in {"cpu", "memory"}:
        return None
    average = trigger.get("metricType") == "AverageValue"
    target = {"averageValue" if average else "averageUtilization": metadata.get("value")}
    container = metadata.get("containerName")
    found = {"name": kind, "target": target, **({"container": container} if container else {})}
    return (
        {"type": "ContainerResource", "containerResource": found}
        if container
        else {"type": "Resource", "resource": found}
    )


def _triggers(scaled_object: Object) -> list[Mapping[str, Any]]:
    return [each for each in _spec(scaled_object).get("triggers") or () if isinstance(each, Mapping)]


def _spec(item: Object) -> Mapping[str, Any]:
    spec = item.get("spec")
    return spec if isinstance(spec, Mapping) else {}

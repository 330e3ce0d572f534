"""Find workloads that a horizontal and a vertical autoscaler scale by the same metric: each undoes what the other does.

The vertical one changes the requests, and the horizontal one compares the use with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.common.shapes import listed, mapping
from harness.experiment.workload_checks.pods import pod_sources

# What each controls unless its manifest has something else.
_RESOURCES = ("cpu", "memory")
_UTILIZATION = {"resource": {"name": "cpu"}}
_EVERY = "*"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two autoscalers of one workload, by ``kind/name``, and the resources that both act on."""

    horizontal: str
    vertical: str
    target: str
    resources: tuple[str, ...]

    def __str__(self) -> str:
        both, by = f"{self.horizontal} and {self.vertical}", " and ".join(self.resources)
        return f"{both} both scale {self.target} by {by}: each change of the requests changes the number of replicas"


def scaled_twice(objects: Sequence[Object]) -> Iterator[Conflict]:
    """Yield each pair of autoscalers that act on the same resource of one workload."""
    containers = {reference(each.item): [str(one.get("name")) for one in each.serving] for each in pod_sources(objects)}
    vertical = [item for item in objects if item["kind"] == "VerticalPodAutoscaler" and _changes_pods(item)]
    for scaler in (item for item in objects if item["kind"] == "HorizontalPodAutoscaler"):
        target = _target(scaler, "scaleTargetRef")
        for other in (each for each in vertical if _target(each, "targetRef") == target):
            shared = {
                resource
                for resource, container in _measured(scaler)
                for name in containers.get(target) or [_EVERY]
                if container in {"", name} and resource in _controlled(other, name)
            }
            if shared:
                yield Conflict(reference(scaler), reference(other), target, tuple(sorted(shared)))


def _target(item: Object, field: str) -> str:
    target = mapping(mapping(item.get("spec")).get(field))
    return f"{str(target.get('kind', '')).lower()}/{target.get('name')}"


def _changes_pods(item: Object) -> bool:
    return mapping(mapping(item.get("spec")).get("updatePolicy")).get("updateMode") != "Off"


def _measured(scaler: Object) -> Iterator[tuple[str, str]]:
    """Yield the resources that a horizontal autoscaler measures, each with the container, empty for all of a pod."""
    for metric in map(mapping, listed(mapping(scaler.get("spec")).get("metrics")) or [_UTILIZATION]):
        source = mapping(metric.get("resource") or metric.get("containerResource"))
        if source.get("name"):
            yield str(source["name"]), str(source.get("container") or "")


def _controlled(vertical: Object, container: str) -> Sequence[str]:
    """Return the resources of a container that a vertical autoscaler changes."""
    policies = mapping(mapping(vertical.get("spec")).get("resourcePolicy")).get("containerPolicies")
    by_name: dict[str, Mapping[str, Any]] = {
        str(policy.get("containerName")): policy for policy in map(mapping, listed(policies))
    }
    policy = by_name.get(container) or by_name.get(_EVERY) or {}
    if policy.get("mode") == "Off":
        return ()
    return [str(name) for name in listed(policy.get("controlledResources"))] or _RESOURCES

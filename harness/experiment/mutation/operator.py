"""A mutation operator: the patch that takes one thing away from every object of a workload that has it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.experiment.declaration import Experiment

# By ``kind/name``, as in a twin: a strategic merge patch, or None to remove the object.
Patches = dict[str, dict[str, Any] | None]
# Not Job: it runs once, before any fault.
LASTING = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
_CONTAINERS = ("initContainers", "containers")


@dataclass(frozen=True, slots=True)
class Operator:
    """One weakness. ``patches`` change nothing in a workload in which there is nothing to take away.

    ``lost`` completes "nothing in this experiment notices that …", and ``unchanged`` completes "the workload …".
    ``safety`` are the fields that the weakened workload needs in the section of that name. ``idle`` returns why the
    thing certainly has no part in an experiment, or "".
    """

    name: str
    lost: str
    unchanged: str
    patches: Callable[[Sequence[Object]], Patches]
    safety: Mapping[str, str] = field(default_factory=dict)
    idle: Callable[[Experiment], str] = lambda _: ""


def of_kinds(objects: Iterable[Object], kinds: Container[str] = LASTING) -> Iterator[Object]:
    """Yield the objects of these kinds, by default of those that keep pods running."""
    return (item for item in objects if item["kind"] in kinds)


def spec_of(item: Object) -> dict[str, Any]:
    """Return the spec of an object; empty if it has none."""
    return item.get("spec") or {}


def pod_of(item: Object) -> dict[str, Any]:
    """Return the pod spec of an object's template; empty if it has none."""
    return (spec_of(item).get("template") or {}).get("spec") or {}


def of_pods(objects: Sequence[Object], change: Callable[[dict[str, Any]], dict[str, Any]]) -> Patches:
    """Return the patches of the pod templates that ``change`` returns a patch of the pod spec for."""
    changes = ((reference(item), change(pod_of(item))) for item in of_kinds(objects))
    return {name: {"spec": {"template": {"spec": patch}}} for name, patch in changes if patch}


def of_containers(objects: Sequence[Object], change: Callable[[dict[str, Any]], dict[str, Any]]) -> Patches:
    """Return the patches of the templates with containers, sidecars included, that ``change`` returns a patch for."""
    return of_pods(objects, lambda pod: containers(pod, change))


def containers(pod: Mapping[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return the patch of a pod spec whose containers get the patch that ``change`` returns, if any."""
    found = {}
    for key in _CONTAINERS:
        changes = ((each["name"], change(each)) for each in pod.get(key) or ())
        if patched := [{"name": name, **patch} for name, patch in changes if patch]:
            found[key] = patched
    return found

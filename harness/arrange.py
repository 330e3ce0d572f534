"""Bringing a workload up in a namespace of its own, and taking the namespace away again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from harness.clock import Clock
from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import Permission, allow, resource_of
from harness.cluster.resources import EVENTS, NAMESPACES, PODS, WORKLOADS
from harness.errors import ApiError, Inconclusive, TimedOut
from harness.guard import is_cluster_wide
from harness.manifests import reference
from harness.naming import EXPERIMENT_LABEL, MANAGED_BY, RUN_LABEL
from harness.timeouts import NAMESPACE_GONE, WORKLOAD_READY
from harness.waiting import wait_until

# What must be there before what uses it.
_ORDER = ["ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "PersistentVolumeClaim", "Service"]

# What the API server must allow for any workload; ``needed_for`` adds what its own kinds take.
PERMISSIONS = (
    allow(NAMESPACES, "create", "get", "delete", place="cluster")
    | allow(PODS, "list", "delete")
    | allow(EVENTS, "list")
)


def needed_for(objects: Sequence[Object], *, disruptive: bool = False) -> frozenset[Permission]:
    """What applying these objects and waiting for them takes. Applying what is not there yet is creating, too.

    What belongs to no namespace does not go with one: it is looked for before (``belongings.claim_objects``) and
    deleted after. Where only a cluster could tell, it is asked for in a disruptive experiment: no other may have it.
    """
    needed: frozenset[Permission] = frozenset()
    for item in objects:
        waited = ("get",) if item["kind"].lower() in WORKLOADS else ()
        resource, wide = resource_of(item["apiVersion"], item["kind"]), is_cluster_wide(item)
        if not wide:
            needed |= allow(resource, "create", "patch", *waited)
        if wide or (wide is None and disruptive):
            needed |= allow(resource, "create", "patch", "get", "delete", place="cluster")
    return needed


def make_namespace(api: KubeApi, name: str, run: str, experiment: str) -> None:
    """Make the namespace of an experiment, labelled with its run."""
    labels = {**MANAGED_BY, RUN_LABEL: run, EXPERIMENT_LABEL: experiment}
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def remove_namespace(api: KubeApi, name: str, clock: Clock) -> None:
    """Delete a namespace and wait until it is gone, however often the API fails meanwhile. Raises TimedOut, ApiError.

    Its pods are deleted without their grace first: nobody is left to be served, and the next experiment shall not
    be measured beside the shutdown of this one.
    """

    def look() -> tuple[bool | None, str]:
        left = api.find(NAMESPACES, name)
        if left is None:
            return True, ""
        if "deletionTimestamp" not in left["metadata"]:
            ask_to_go(api, name)
        conditions = left.get("status", {}).get("conditions", [])
        return None, "; ".join(str(condition.get("message")) for condition in conditions) or "it is still there"

    wait_until(f"namespace {name} gone", look, NAMESPACE_GONE, clock)


def ask_to_go(api: KubeApi, name: str) -> None:
    """Delete a namespace and its pods, and wait for nothing. Raises ApiError."""
    for pod in api.list(PODS, name).items:
        _ignoring_absence(partial(api.delete, PODS, pod["metadata"]["name"], name, grace_seconds=0))
    _ignoring_absence(partial(api.delete, NAMESPACES, name))


def apply_workload(api: KubeApi, namespace: str, objects: Sequence[Object]) -> None:
    """Apply the objects in an order that controllers like. Raises Inconclusive with the API's own words."""
    for item in sorted(objects, key=lambda item: _ORDER.index(item["kind"]) if item["kind"] in _ORDER else len(_ORDER)):
        try:
            api.apply(item, namespace)
        except ApiError as error:
            raise Inconclusive(f"{reference(item)} was refused: {error}") from error


def wait_for_workload(
    api: KubeApi,
    namespace: str,
    objects: Sequence[Object],
    clock: Clock,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Wait until every Deployment, StatefulSet and DaemonSet is complete. Raises Inconclusive with what is missing.

    ``meanwhile`` is called at every look and may end the wait by what it raises.
    """
    waiting = [item for item in objects if item["kind"].lower() in WORKLOADS]

    def look() -> tuple[bool | None, str]:
        meanwhile()
        for item in waiting:
            resource = WORKLOADS[item["kind"].lower()]
            found = api.get(resource, item["metadata"]["name"], namespace)
            if not is_complete(found):
                return None, f"{reference(item)} is not ready{why_not_ready(api, namespace)}"
        return True, ""

    try:
        wait_until("workload ready", look, WORKLOAD_READY, clock)
    except TimedOut as error:
        raise Inconclusive(f"the workload did not become ready within {error.seconds:g} s: {error.last}") from error


def is_complete(item: Object) -> bool:
    """Whether a workload has all its replicas updated and ready, and its controller has seen its newest form."""
    spec, status = item["spec"], item.get("status", {})
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        return False
    if item["kind"] == "DaemonSet":
        desired = status.get("desiredNumberScheduled", 0)
        return bool(desired == status.get("numberReady", 0) == status.get("updatedNumberScheduled", 0))
    desired = spec.get("replicas", 1)
    return bool(
        desired == status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == status.get("replicas", 0)
    )


def why_not_ready(api: KubeApi, namespace: str) -> str:
    """What the pods of a namespace wait for, as far as the API tells; a text to append, or empty."""
    reasons: list[str] = []
    for pod in api.list(PODS, namespace).items:
        reasons += [f"{pod['metadata']['name']}: {reason}" for reason in _pod_reasons(pod)]
    if not reasons:
        warnings = [event for event in api.list(EVENTS, namespace).items if event.get("type") == "Warning"]
        reasons = [f"{event.get('reason')}: {event.get('message')}" for event in warnings[-2:]]
    return f" ({'; '.join(reasons[:4])})" if reasons else ""


def _pod_reasons(pod: Object) -> list[str]:
    status: dict[str, Any] = pod.get("status", {})
    reasons = []
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            reasons.append(f"{waiting['reason']} {waiting.get('message', '')}".strip())
    unscheduled = [
        str(condition.get("message", "not scheduled"))
        for condition in status.get("conditions", [])
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return reasons + unscheduled


def _ignoring_absence(call: Callable[[], None]) -> None:
    try:
        call()
    except ApiError as error:
        if not error.not_found:
            raise

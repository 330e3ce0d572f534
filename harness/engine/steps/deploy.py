"""Apply a workload in its namespace and wait until it is ready."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.cluster.images import BUILD_HINT, is_published
from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.completeness import is_complete
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.containers import why_ended, why_waiting
from harness.cluster.kube.objects import reference
from harness.cluster.kube.permissions import Permission, allow, defined_by, is_guess, resource_of
from harness.cluster.kube.resources import EVENTS, NAMESPACES, PODS, WORKLOADS, Resource
from harness.common.clock import Clock
from harness.common.errors import ApiError, Inconclusive, TimedOut
from harness.common.timeouts import KINDS_SERVED, WEBHOOK_ANSWERS, WORKLOAD_READY
from harness.common.waiting import wait_until
from harness.engine.steps import jobs
from harness.engine.steps.apply_order import Stages, is_custom
from harness.safety.guard import is_cluster_wide

# HTTP status of bad requests and invalid objects.
_REFUSED = frozenset({400, 422})
# The kubelet's reasons: an invalid or forbidden image reference; a failed pull.
_NO_IMAGE = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_PULL_FAILED = frozenset({"ErrImagePull", "ImagePullBackOff"})
# Errors of registries and DNS for an image that is missing or forbidden; other errors may be temporary.
_FINAL = re.compile(
    r"not found|notfound|manifest unknown|name unknown|no such host|unauthorized|authentication required|"
    r"access denied|access forbidden|403 forbidden|insufficient_scope|does not exist",
    re.IGNORECASE,
)
# Seconds between two looks at the pods of a workload that is not ready yet.
PODS_SEEN_EVERY = 1.0


# Permissions for any workload; ``needed_for`` adds those for its kinds.
PERMISSIONS = (
    allow(NAMESPACES, "create", "get", "delete", place="cluster")
    | allow(PODS, "list", "delete")
    | allow(EVENTS, "list")
)


@dataclass(frozen=True, slots=True)
class ReadyTime:
    """How many seconds a workload may take to become ready, and how they were computed."""

    seconds: float
    because: str

    def __str__(self) -> str:
        return f"{self.seconds:g} s ({self.because})"


READY_TIME = ReadyTime(WORKLOAD_READY, f"{WORKLOAD_READY:g} s for any workload, set readyTimeout to change it")


def needed_for(
    objects: Sequence[Object], *, disruptive: bool = False, known: Sequence[Resource] = ()
) -> frozenset[Permission]:
    """Return the permissions to apply these objects and to wait for them. Server-side apply also needs ``create``.

    Cluster-wide objects are not deleted with the namespace, so the run also reads them before
    (``belongings.claim_objects``) and deletes them after. ``known`` are the custom resources that the cluster serves.
    If the scope of a kind is unknown, a disruptive experiment gets the permissions for both scopes; other experiments
    must not have cluster-wide objects.
    """
    needed: frozenset[Permission] = frozenset()
    defined = [*known, *defined_by(objects)]
    for item in objects:
        waited: tuple[str, ...] = ("get",) if item["kind"].lower() in WORKLOADS or jobs.is_awaited(item) else ()
        # Custom resources are deleted while their operator still runs: it may have to remove finalizers.
        waited += ("get", "delete") if is_custom(item) else ()
        resource, wide = resource_of(item["apiVersion"], item["kind"], defined), is_cluster_wide(item)
        if wide is None and not is_guess(item["apiVersion"], item["kind"], defined):
            wide = not resource.namespaced
        if not wide:
            needed |= allow(resource, "create", "patch", *waited)
        if wide or (wide is None and disruptive):
            needed |= allow(resource, "create", "patch", "get", "delete", place="cluster")
    return needed


def try_workload(api: KubeApi, namespace: str, objects: Sequence[Object]) -> None:
    """Validate every object with a server-side dry run. Raises Inconclusive with all rejected objects.

    Not covered: objects that depend on others that do not exist yet, and webhooks without support for dry runs.
    """
    defined = {(found.group_version, found.kind) for found in defined_by(objects)}
    refused = []
    for item in (item for item in objects if (item["apiVersion"], item["kind"]) not in defined):
        try:
            api.apply(item, namespace, dry_run=True)
        except ApiError as error:
            if error.status in _REFUSED and "dry run" not in str(error):
                refused.append(f"{reference(item)} was rejected: {error}")
    if refused:
        raise Inconclusive("; ".join(refused))


def apply_workload(api: KubeApi, namespace: str, objects: Sequence[Object], clock: Clock | None = None) -> None:
    """Apply the objects, dependencies first. Raises Inconclusive with the error of the API server.

    ``namespace`` is that of the objects that name none. With a ``clock``, an error of a webhook is retried: a webhook
    of the workload may need a moment after its pods are ready.
    """
    stages = Stages.of(objects)
    for item in (*stages.definitions, *stages.usual, *stages.late):

        def apply(item: Object = item) -> tuple[bool | None, str]:
            try:
                api.apply(item, namespace)
            except ApiError as error:
                if clock is None or "webhook" not in str(error):
                    raise
                return None, str(error)
            return True, ""

        try:
            wait_until(reference(item), apply, WEBHOOK_ANSWERS, clock) if clock else apply()
        except ApiError as error:
            raise Inconclusive(f"{reference(item)} was rejected: {error}") from error
        except TimedOut as error:
            raise Inconclusive(f"{reference(item)} was rejected for {WEBHOOK_ANSWERS:g} s: {error.last}") from error


def wait_defined(
    api: KubeApi, definitions: Sequence[Object], clock: Clock, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Wait until the API server serves the kinds of CustomResourceDefinitions that were applied.

    Raises Inconclusive with what is not served."""
    resource = resource_of("apiextensions.k8s.io/v1", "CustomResourceDefinition")

    def look() -> tuple[bool | None, str]:
        meanwhile()
        for item in definitions:
            found = api.get(resource, item["metadata"]["name"])
            if not holds(found, "Established"):
                return None, f"{reference(item)} is not established{_why_refused(found)}"
        for kind in defined_by(definitions):
            try:
                api.discover(kind.group_version, kind.kind)
            except ApiError as error:
                # Discovery lags behind the condition.
                if not error.not_found:
                    raise
                return None, str(error)
        return True, ""

    try:
        wait_until("custom resources served", look, KINDS_SERVED, clock)
    except TimedOut as error:
        raise Inconclusive(f"the API server did not serve new kinds in {KINDS_SERVED:g} s: {error.last}") from error


def wait_for_workload(
    api: KubeApi,
    namespace: str,
    objects: Sequence[Object],
    clock: Clock,
    meanwhile: Callable[[], None] = lambda: None,
    *,
    allowed: ReadyTime = READY_TIME,
) -> None:
    """Wait up to ``allowed`` until every Deployment, StatefulSet, DaemonSet and Job is complete.

    Raises Inconclusive with what is not ready, immediately for an image that can never be pulled and for a failed Job.
    ``namespace`` is that of the objects that name none. ``meanwhile`` is called at every check and may raise to end the
    wait.
    """
    waiting = [item for item in objects if item["kind"].lower() in WORKLOADS or jobs.is_awaited(item)]
    last, due = namespace, clock.monotonic()

    def look() -> tuple[bool | None, str]:
        nonlocal last, due
        meanwhile()
        for item in waiting:
            last = item["metadata"].get("namespace") or namespace
            why = _why_incomplete(api, item, last)
            if why is not None:
                # Pods are large and many, and an image that cannot be pulled is not urgent.
                if clock.monotonic() >= due:
                    due = clock.monotonic() + PODS_SEEN_EVERY
                    _check_images(api.list(PODS, last).items)
                return None, why
        return True, ""

    try:
        wait_until("workload ready", look, allowed.seconds, clock)
    except TimedOut as error:
        pods = api.list(PODS, last).items
        _check_images(pods)
        why = f"{error.last}{why_not_ready(api, last, pods)}"
        raise Inconclusive(f"the workload did not become ready within {allowed}: {why}") from error


def _check_images(pods: Sequence[Object]) -> None:
    """Raise Inconclusive if an image of a pod can never be pulled."""
    for reason in (reason for pod in pods for reason in never_pulled(pod)):
        raise Inconclusive(f"the workload cannot become ready: {reason}")


def _why_incomplete(api: KubeApi, item: Object, namespace: str) -> str | None:
    """Return why an object is not complete, or None if it is. Raises Inconclusive for a failed Job."""
    if item["kind"] == "Job":
        return jobs.why_incomplete(api, item, namespace)
    found = api.get(WORKLOADS[item["kind"].lower()], item["metadata"]["name"], namespace)
    return None if is_complete(found) else f"{reference(item)} is not ready"


def _why_refused(definition: Object) -> str:
    found = (definition.get("status") or {}).get("conditions") or ()
    refused = [str(each.get("message")) for each in found if each.get("status") == "False" and each.get("message")]
    return f": {'; '.join(refused)}" if refused else ""


def never_pulled(pod: Object) -> Iterator[str]:
    """Yield the kubelet's error for each container whose image can never be pulled, however often it is retried."""
    for container in _container_statuses(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = str(waiting.get("reason")), str(waiting.get("message", ""))
        if reason in _NO_IMAGE or (reason in _PULL_FAILED and _FINAL.search(message)):
            image = str(container.get("image"))
            text = f"pod {pod['metadata']['name']} cannot pull the image {image} ({reason}): {message}"
            yield f"{text.removesuffix(': ')}{f'; {BUILD_HINT}' if is_published(image) else ''}"


def why_not_ready(api: KubeApi, namespace: str, pods: Sequence[Object]) -> str:
    """Return why the pods of a namespace are not ready, as a text to append, or an empty string."""
    reasons: list[str] = []
    for pod in pods:
        reasons += [f"{pod['metadata']['name']}: {reason}" for reason in _pod_reasons(pod)]
    if not reasons:
        warnings = [event for event in api.list(EVENTS, namespace).items if event.get("type") == "Warning"]
        reasons = [f"{event.get('reason')}: {event.get('message')}" for event in warnings[-2:]]
    return f" ({'; '.join(reasons[:4])})" if reasons else ""


def _container_statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _pod_reasons(pod: Object) -> list[str]:
    status: dict[str, Any] = pod.get("status", {})
    reasons = []
    for container in _container_statuses(pod):
        reason = why_waiting(container) or why_ended(container)
        if reason:
            reasons.append(reason)
    unscheduled = [
        str(condition.get("message", "not scheduled"))
        for condition in status.get("conditions", [])
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return reasons + unscheduled

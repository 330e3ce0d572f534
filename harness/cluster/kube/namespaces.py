"""Create and delete the namespaces of experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.resources import NAMESPACES, PODS, WORKLOADS
from harness.common.clock import Clock
from harness.common.errors import ApiError
from harness.common.naming import CLAIM_ANNOTATION, EXPERIMENT_LABEL, MANAGED_BY, RUN_LABEL
from harness.common.timeouts import NAMESPACE_EMPTY, NAMESPACE_GONE
from harness.common.waiting import wait_until

# Patches to the specs of workloads after which they have no pods. A StatefulSet's volume claims are deleted with them:
# they are protected while their pods exist, and would keep the namespace until the namespace controller's next retry.
_NO_PODS: dict[str, dict[str, Any]] = {
    "deployment": {"replicas": 0},
    "rollout": {"replicas": 0},
    "statefulset": {
        "replicas": 0,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
    },
    # A DaemonSet has no number of replicas, so its pods are removed by a node selector that matches no node.
    "daemonset": {"template": {"spec": {"nodeSelector": {"resilience.harness/no-node": "none"}}}},
}


def make_namespace(
    api: KubeApi,
    name: str,
    run: str,
    experiment: str,
    claim: str = "",
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> None:
    """Create the namespace of an experiment, labelled with its run.

    ``claim`` identifies the undo journal's entry that removes the namespace. ``labels`` and ``annotations`` are those
    of the published namespace that it replaces. Raises ApiError; 409 if the name is taken.
    """
    own = {**MANAGED_BY, RUN_LABEL: run, EXPERIMENT_LABEL: experiment}
    metadata: Object = {"name": name, "labels": {**(labels or {}), **own}}
    noted = {**(annotations or {}), **({CLAIM_ANNOTATION: claim} if claim else {})}
    if noted:
        metadata["annotations"] = noted
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def is_whole(api: KubeApi, name: str) -> bool:
    """Return whether a namespace exists and is not being deleted. Raises ApiError."""
    found = api.find(NAMESPACES, name)
    return found is not None and "deletionTimestamp" not in found["metadata"]


def remove_namespace(api: KubeApi, name: str, clock: Clock) -> None:
    """Delete a namespace and wait up to ``NAMESPACE_GONE`` seconds until it is gone. Raises TimedOut, ApiError.

    Its workloads are first scaled to zero and its pods deleted without a grace period: they serve no more requests, and
    their shutdown must not overlap with the measurements of the next experiment. A remaining or recreated pod delays
    the deletion: the namespace controller waits half of the pod's grace period before its next attempt.
    """
    scaled: set[str] = set()
    emptied_by = clock.monotonic() + NAMESPACE_EMPTY

    def look() -> tuple[bool | None, str]:
        left = api.find(NAMESPACES, name)
        if left is None:
            return True, ""
        if "deletionTimestamp" not in left["metadata"]:
            if not _is_emptied(api, name, scaled) and clock.monotonic() < emptied_by:
                return None, "its pods are still there"
            request_deletion(api, name)
        conditions = left.get("status", {}).get("conditions", [])
        return None, "; ".join(str(condition.get("message")) for condition in conditions) or "it is still there"

    wait_until(f"namespace {name} gone", look, NAMESPACE_GONE, clock)


def _is_emptied(api: KubeApi, name: str, scaled: set[str]) -> bool:
    """Return whether a namespace has no pods; scale each workload to zero once and delete the pods that exist."""
    pods = api.list(PODS, name).items
    for workload in sorted({workload_of(pod) for pod in pods} - scaled):
        scaled.add(workload)
        kind, _, of = workload.partition("/")
        # Scaling only makes the deletion faster, so its failure (no permission, already deleted) is ignored.
        with suppress(ApiError):
            if kind in _NO_PODS:
                api.patch(WORKLOADS[kind], of, {"spec": _NO_PODS[kind]}, name)
    for pod in pods:
        _ignoring_absence(partial(api.delete, PODS, pod["metadata"]["name"], name, grace_seconds=0))
    return not pods


def request_deletion(api: KubeApi, name: str) -> None:
    """Delete a namespace and its pods without waiting. Raises ApiError."""
    for pod in api.list(PODS, name).items:
        _ignoring_absence(partial(api.delete, PODS, pod["metadata"]["name"], name, grace_seconds=0))
    _ignoring_absence(partial(api.delete, NAMESPACES, name))


def _ignoring_absence(call: Callable[[], None]) -> None:
    try:
        call()
    except ApiError as error:
        if not error.not_found:
            raise

"""Pods that keep a StatefulSet from returning to an earlier version. Not a kind of fault.

A StatefulSet with the pod management policy OrderedReady, the default, waits until a broken pod is Ready before it
replaces any pod, also after its template was restored: https://github.com/kubernetes/kubernetes/issues/67250. Upstream
documents this as "Forced rollback": the broken pod must be deleted by hand.
"""

from __future__ import annotations

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.resources import PODS
from harness.common.errors import NotYet
from harness.faults.revisions import Revision


def needs_help(workload: Object) -> bool:
    """Return whether a broken pod would keep this workload from returning to an earlier version."""
    return bool(workload["kind"] == "StatefulSet") and workload["spec"].get("podManagementPolicy") != "Parallel"


def delete_stuck(api: KubeApi, workload: Object, revision: Revision) -> None:
    """Delete the pods that are not Ready and of another revision. Raises NotYet if there were any, ApiError."""
    if not needs_help(workload):
        return
    metadata = workload["metadata"]
    pods = [pod for pod in api.list(PODS, metadata["namespace"]).items if is_owned_by(pod, metadata["uid"])]
    stuck = [
        pod["metadata"]
        for pod in pods
        if not revision.has(pod) and not holds(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]
    ]
    for pod in stuck:
        api.delete(PODS, pod["name"], metadata["namespace"], uid=pod["uid"])
    if stuck:
        raise NotYet(f"pod {', '.join(pod['name'] for pod in stuck)} of another revision was not ready, and is deleted")

"""Whether a workload is complete: what every controller of replicas reports of itself, read in one place."""

from __future__ import annotations

from harness.cluster.kube.client import Object


def is_complete(item: Object) -> bool:
    """Return whether a Deployment, StatefulSet, DaemonSet or Rollout has all its replicas updated and ready.

    With minReadySeconds they must be available too: ready for that long.
    False while the controller has not seen the newest generation: its numbers are those of an older one.
    """
    spec, status = item["spec"], item.get("status", {})
    if (observed_generation(item) or 0) < item["metadata"].get("generation", 0):
        return False
    if item["kind"] == "DaemonSet":
        # Absent until the controller has looked at the nodes for the first time.
        desired = status.get("desiredNumberScheduled")
        if spec.get("minReadySeconds") and desired != status.get("numberAvailable", 0):
            return False
        return bool(desired == status.get("numberReady", 0) == status.get("updatedNumberScheduled", 0))
    if item["kind"] == "Rollout" and status.get("phase") != "Healthy":
        # A canary with few replicas may have the numbers of a complete rollout.
        return False
    # ``status.replicas`` includes pods of older templates, so it is equal only when none of them is left.
    desired = spec.get("replicas", 1)
    if spec.get("minReadySeconds") and desired != status.get("availableReplicas", 0):
        return False
    return bool(
        desired == status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == status.get("replicas", 0)
    )


def observed_generation(item: Object) -> int | None:
    """Return the newest generation that the controller of a workload has observed; None if it has written none."""
    found = item.get("status", {}).get("observedGeneration")
    # Argo Rollouts writes the number as text.
    return None if found is None or not str(found).isdigit() else int(found)

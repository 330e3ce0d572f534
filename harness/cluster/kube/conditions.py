"""Reads conditions and times from objects of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.common.clock import parse_kubernetes_time


def holds(item: Mapping[str, Any], kind: str) -> bool:
    """Return whether an object has a condition whose status is True."""
    found = (item.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == kind and condition["status"] == "True" for condition in found)


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod's containers have ended for good.

    The kubelet reports each container before it reports the pod's phase: a pod that is Running may have ended already.
    """
    status, spec = pod.get("status") or {}, pod.get("spec") or {}
    if status.get("phase") in {"Succeeded", "Failed"}:
        return True
    states = [container.get("state") or {} for container in status.get("containerStatuses") or ()]
    # The kubelet may not have reported every container yet.
    all_ended = len(states) == len(spec.get("containers") or ()) and all("terminated" in state for state in states)
    restarts = spec.get("restartPolicy", "Always")
    failed = any((state.get("terminated") or {}).get("exitCode") for state in states)
    return all_ended and (restarts == "Never" or (restarts == "OnFailure" and not failed))


def deletion_asked(metadata: Mapping[str, Any]) -> float | None:
    """Return when the deletion of an object was requested, in Unix seconds; None if it was not.

    ``deletionTimestamp`` is the end of the grace period and may be in the future.
    """
    ends = metadata.get("deletionTimestamp")
    if not ends:
        return None
    return parse_kubernetes_time(ends) - float(metadata.get("deletionGracePeriodSeconds") or 0)

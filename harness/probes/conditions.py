"""Conditions and timestamps in API objects."""

from __future__ import annotations

from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import holds
from harness.common.clock import parse_kubernetes_time


def moment(text: str | None) -> float | None:
    """Return an API timestamp in Unix seconds; None for a missing one."""
    return parse_kubernetes_time(text) if text else None


def conditions(item: Object) -> dict[str, dict[str, Any]]:
    """Return {"status", "reason", "message", "since"} by type; ``since`` is the last transition in Unix seconds."""
    return {
        condition["type"]: {
            "status": condition.get("status", "Unknown"),
            "reason": condition.get("reason") or "",
            "message": condition.get("message") or "",
            "since": moment(condition.get("lastTransitionTime")),
        }
        for condition in item.get("status", {}).get("conditions") or ()
    }


def is_serving(pod: Object) -> bool:
    """Return whether a pod is ready and not being deleted, so that a command can run in it."""
    return holds(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]


def newest(*moments: float | None) -> float | None:
    """Return the latest of the known times, or None."""
    known = [at for at in moments if at is not None]
    return max(known) if known else None

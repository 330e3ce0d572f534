"""Conditions and times as the API writes them."""

from __future__ import annotations

from typing import Any

from harness.clock import parse_kubernetes_time
from harness.cluster.api import Object
from harness.cluster.conditions import holds


def moment(text: str | None) -> float | None:
    """Unix seconds of an API timestamp; None where there is none."""
    return parse_kubernetes_time(text) if text else None


def conditions(item: Object) -> dict[str, dict[str, Any]]:
    """By type: {"status", "reason", "message", "since"}; ``since`` is Unix seconds of the last transition."""
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
    """Whether a pod is ready and nobody is deleting it: one to run a command in."""
    return holds(pod, "Ready") and "deletionTimestamp" not in pod["metadata"]


def newest(*moments: float | None) -> float | None:
    """The latest of the moments that are known."""
    known = [at for at in moments if at is not None]
    return max(known) if known else None

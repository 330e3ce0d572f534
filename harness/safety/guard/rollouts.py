"""How many pods a rollout may remove from a Deployment before new ones are ready, which count as hit by the fault."""

from __future__ import annotations

import math

from harness.cluster.kube.client import Object


def may_lose(deployment: Object) -> int:
    """Return how many pods a rollout may remove before new ones are ready, as the Deployment controller counts."""
    spec = deployment["spec"]
    replicas, strategy = int(spec.get("replicas", 1)), spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return max(replicas, int(deployment.get("status", {}).get("replicas", 0)))
    rolling = strategy.get("rollingUpdate") or {}
    # Kubernetes rounds maxSurge up and maxUnavailable down.
    surge = math.ceil(_of(rolling.get("maxSurge", "25%"), replicas))
    unavailable = math.floor(_of(rolling.get("maxUnavailable", "25%"), replicas))
    # If both round to zero, the controller uses maxUnavailable 1, since the rollout could not progress otherwise.
    return min(replicas, unavailable if unavailable or surge else 1)


def _of(value: int | str, replicas: int) -> float:
    return int(value.rstrip("%")) * replicas / 100 if isinstance(value, str) else float(value)

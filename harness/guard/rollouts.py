"""What a rollout may cost a Deployment before anything new is ready: pods that it takes away like any other fault."""

from __future__ import annotations

import math

from harness.cluster.api import Object


def may_lose(deployment: Object) -> int:
    """How many of its pods a rollout may take away before new ones are ready, as the Deployment's controller counts."""
    spec = deployment["spec"]
    replicas, strategy = int(spec.get("replicas", 1)), spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return max(replicas, int(deployment.get("status", {}).get("replicas", 0)))
    rolling = strategy.get("rollingUpdate") or {}
    surge = math.ceil(_of(rolling.get("maxSurge", "25%"), replicas))
    unavailable = math.floor(_of(rolling.get("maxUnavailable", "25%"), replicas))
    # With neither it could not move at all.
    return min(replicas, unavailable if unavailable or surge else 1)


def _of(value: int | str, replicas: int) -> float:
    return int(value.rstrip("%")) * replicas / 100 if isinstance(value, str) else float(value)

"""How many pods a rollout may remove from a workload before new ones are ready, which count as hit by the fault."""

from __future__ import annotations

import math

from harness.cluster.kube.client import Object


def may_lose(workload: Object) -> int:
    """Return how many pods a rollout may remove before new ones are ready, as the controller of the workload counts."""
    spec, status = workload["spec"], workload.get("status") or {}
    if workload["kind"] == "StatefulSet":
        replicas, strategy = int(spec.get("replicas", 1)), spec.get("updateStrategy") or {}
        # A StatefulSet always removes a pod before it creates its replacement: one at a time by default.
        limit = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", 1)
        return min(replicas, max(1, math.ceil(_of(limit, replicas))))
    if workload["kind"] == "DaemonSet":
        rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate") or {}
        nodes = int(status.get("desiredNumberScheduled", 0))
        # Both are rounded up for a DaemonSet. With maxSurge, old pods stay until the new ones are ready.
        return min(nodes, math.ceil(_of(rolling.get("maxUnavailable", 1), nodes)))
    replicas, strategy = int(spec.get("replicas", 1)), spec.get("strategy") or {}
    if workload["kind"] == "Rollout":
        # Blue-green keeps all old pods until the new version is promoted.
        strategy = {"rollingUpdate": strategy.get("canary", {"maxUnavailable": 0})}
    if strategy.get("type") == "Recreate":
        return max(replicas, int(status.get("replicas", 0)))
    rolling = strategy.get("rollingUpdate") or {}
    # For a Deployment, maxSurge is rounded up and maxUnavailable down.
    surge = math.ceil(_of(rolling.get("maxSurge", "25%"), replicas))
    unavailable = math.floor(_of(rolling.get("maxUnavailable", "25%"), replicas))
    # If both round to zero, the controller uses maxUnavailable 1, since the rollout could not progress otherwise.
    return min(replicas, unavailable if unavailable or surge else 1)


def _of(value: int | str, replicas: int) -> float:
    return int(value.rstrip("%")) * replicas / 100 if isinstance(value, str) else float(value)

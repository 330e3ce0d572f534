"""Operators that take away what decides on which node a pod runs, and whether it may stay there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.experiment.mutation.operator import Operator, Patches, of_pods

_PRIORITY = ("priorityClassName", "priority")
_SPREAD = "topologySpreadConstraints"


def _spread(pod: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {}
    if (pod.get("affinity") or {}).get("podAntiAffinity"):
        patch["affinity"] = {"podAntiAffinity": None}
    if pod.get(_SPREAD):
        patch[_SPREAD] = None
    return patch


def _no_spread(objects: Sequence[Object]) -> Patches:
    return of_pods(objects, _spread)


def _no_priority(objects: Sequence[Object]) -> Patches:
    return of_pods(objects, lambda pod: dict.fromkeys(key for key in _PRIORITY if key in pod))


NO_SPREAD = Operator(
    "no-spread",
    "anti-affinity and topology spread are gone",
    "has no anti-affinity and no topology spread",
    _no_spread,
    # The guard spares the last replica; what spares it here is that another one is elsewhere.
    safety={"last_replica": "allowed"},
)
NO_PRIORITY_CLASS = Operator("no-priority-class", "the priority class is gone", "has no priority class", _no_priority)

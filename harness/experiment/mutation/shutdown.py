"""Operators that take away a graceful end of containers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.experiment.mutation.operator import Operator, Patches, containers, of_containers, of_pods

_GRACE = "terminationGracePeriodSeconds"
_GONE = {"lifecycle": {"preStop": None}}


def _pre_stop(container: dict[str, Any]) -> dict[str, Any]:
    return (container.get("lifecycle") or {}).get("preStop") or {}


def _no_hook(objects: Sequence[Object]) -> Patches:
    return of_containers(objects, lambda each: _GONE if _pre_stop(each) else {})


def _no_grace(objects: Sequence[Object]) -> Patches:
    # Kubernetes refuses a hook that sleeps longer than the grace period.
    return of_pods(
        objects, lambda pod: {_GRACE: 0, **containers(pod, lambda each: _GONE if "sleep" in _pre_stop(each) else {})}
    )


NO_PRE_STOP_HOOK = Operator("no-pre-stop-hook", "the preStop hook is gone", "has no preStop hook", _no_hook)
GRACE_PERIOD_0 = Operator(
    "grace-period-0",
    "pods end without a grace period",
    "has no pods with a grace period above 0",
    _no_grace,
)

"""Operators that take away spare pods: replicas, the PodDisruptionBudget, and the limit of a rolling update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference
from harness.experiment.declaration import Experiment
from harness.experiment.mutation.operator import Operator, Patches, of_kinds, spec_of
from harness.faults.base import Effect

_ALL = "100%"
_VPA = "VerticalPodAutoscaler"


def _one_replica(objects: Sequence[Object]) -> Patches:
    patches: Patches = {}
    for item in of_kinds(objects, ("Deployment", "StatefulSet", "ReplicaSet")):
        if spec_of(item).get("replicas", 1) > 1:
            patches[reference(item)] = {"spec": {"replicas": 1}}
    # An autoscaler would add the replicas again.
    for item in of_kinds(objects, ("HorizontalPodAutoscaler",)):
        if spec_of(item).get("maxReplicas", 1) > 1:
            patches[reference(item)] = {"spec": {"minReplicas": 1, "maxReplicas": 1}}
    return patches


def _no_budget(objects: Sequence[Object]) -> Patches:
    return dict.fromkeys(reference(item) for item in of_kinds(objects, ("PodDisruptionBudget",)))


def _all_unavailable(objects: Sequence[Object]) -> Patches:
    patches: Patches = {}
    for item in of_kinds(objects, _STRATEGIES):
        key, other = _STRATEGIES[item["kind"]]
        strategy = spec_of(item).get(key) or {}
        rolling = strategy.get("rollingUpdate") or {}
        if strategy.get("type") == other:
            continue
        update: dict[str, Any] = {"maxUnavailable": _ALL}
        if item["kind"] == "DaemonSet" and rolling.get("maxSurge"):
            # Kubernetes refuses a DaemonSet with both.
            update["maxSurge"] = 0
        patches[reference(item)] = {"spec": {key: {"rollingUpdate": update}}}
    return patches


def _evicts_nothing(experiment: Experiment) -> str:
    # A vertical pod autoscaler evicts too.
    if any(fault.obeys_budgets for fault in experiment.faults) or any(of_kinds(experiment.workload.objects, (_VPA,))):
        return ""
    return "none of its faults evicts pods, and only evictions obey a PodDisruptionBudget"


def _rolls_nothing_out(experiment: Experiment) -> str:
    # A fault of another package that does not declare its effect may change workloads too.
    if any(getattr(fault, "effect", Effect.WORKLOADS) is Effect.WORKLOADS for fault in experiment.faults):
        return ""
    return "none of its faults changes a workload, so that no rolling update runs"


# Where each kind has its strategy, and the type without a rolling update. Not StatefulSet: most API servers ignore its
# maxUnavailable, which needs a feature gate.
_STRATEGIES = {"Deployment": ("strategy", "Recreate"), "DaemonSet": ("updateStrategy", "OnDelete")}

# The guard spares the last replica, and these mutants lack what spares it.
_LAST_REPLICA = {"last_replica": "allowed"}

REPLICAS_1 = Operator(
    "replicas-1",
    "each workload has one replica",
    "has no more than one replica",
    _one_replica,
    safety=_LAST_REPLICA,
)
NO_DISRUPTION_BUDGET = Operator(
    "no-disruption-budget",
    "the PodDisruptionBudget is gone",
    "has no PodDisruptionBudget",
    _no_budget,
    idle=_evicts_nothing,
)
MAX_UNAVAILABLE_100 = Operator(
    "max-unavailable-100",
    "a rolling update may stop all pods at once",
    f"has no Deployment or DaemonSet with a rolling update and maxUnavailable below {_ALL}",
    _all_unavailable,
    safety=_LAST_REPLICA,
    idle=_rolls_nothing_out,
)

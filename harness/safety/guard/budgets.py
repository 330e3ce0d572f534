"""PodDisruptionBudgets: which pods each covers and how many disruptions it allows, by the eviction API's rules.

The rules are those of the API server's eviction handler (pkg/registry/core/pod/storage/eviction.go): a status that the
controller has not updated allows no disruption, and the eviction of a pod that is not ready does not always count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.resources import BUDGETS
from harness.common.labels import matches_labels
from harness.model.quantities import counted
from harness.safety.guard.safety import IGNORE_BUDGETS


def exceeded(api: KubeApi, pods: Sequence[Object]) -> Iterator[str]:
    """Yield one sentence for each budget that allows fewer disruptions than the pods it covers. Raises ApiError."""
    for namespace in _namespaces(pods):
        for budget in api.list(BUDGETS, namespace).items:
            spent = [pod for pod in _in(namespace, pods) if covers(budget, pod) and _spends(budget, pod)]
            allowed, why = _allowed(budget)
            if len(spent) > allowed:
                yield (
                    f"{counted(len(spent), 'pod')} would be hit and poddisruptionbudget/"
                    f"{budget['metadata']['name']} in {namespace} allows {allowed}{why}: {IGNORE_BUDGETS}"
                )


def ambiguous(api: KubeApi, pods: Sequence[Object]) -> Iterator[str]:
    """Yield one sentence for each pod that several budgets cover, which the API server never evicts."""
    for namespace in _namespaces(pods):
        budgets = api.list(BUDGETS, namespace).items
        for pod in _in(namespace, pods):
            names = [str(budget["metadata"]["name"]) for budget in budgets if covers(budget, pod)]
            if len(names) > 1 and not _needs_no_budget(pod):
                listed = " and ".join(f"poddisruptionbudget/{name}" for name in sorted(names))
                yield (
                    f"pod/{pod['metadata']['name']} in {namespace} cannot be evicted: {listed} both cover it, and the "
                    "eviction API refuses a pod with more than one budget; let one budget select it"
                )


def covers(budget: Object, pod: Object) -> bool:
    """Return whether a budget selects a pod of its namespace."""
    return matches_labels((budget.get("spec") or {}).get("selector"), pod["metadata"].get("labels") or {})


def _spends(budget: Object, pod: Object) -> bool:
    """Return whether the loss of a pod counts against the budget: that of an unready pod may not count."""
    if _needs_no_budget(pod):
        return False
    if holds(pod, "Ready"):
        return True
    status = budget.get("status") or {}
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    if _stale(budget):
        return True
    # The default policy, IfHealthyBudget: an unready pod is free only while the application is not disrupted already.
    return not int(status.get("currentHealthy", 0)) >= int(status.get("desiredHealthy", 0)) > 0


def _allowed(budget: Object) -> tuple[int, str]:
    """Return how many disruptions a budget allows, and why it is zero if its status cannot be used."""
    status = budget.get("status") or {}
    if _stale(budget):
        seen, wanted = status.get("observedGeneration", 0), budget["metadata"].get("generation", 0)
        return 0, f" (its status is not current: observedGeneration is {seen}, generation is {wanted})"
    failed = next((each for each in status.get("conditions") or () if each.get("reason") == "SyncFailed"), None)
    if failed and failed.get("status") == "False":
        return 0, f" (its controller cannot compute it: {failed.get('message', '')})"
    return max(0, int(status.get("disruptionsAllowed", 0))), ""


def _stale(budget: Object) -> bool:
    seen = int((budget.get("status") or {}).get("observedGeneration", 0))
    return seen < int(budget["metadata"].get("generation", 0))


def _needs_no_budget(pod: Object) -> bool:
    # canIgnorePDB in eviction.go.
    return (pod.get("status") or {}).get("phase") in {"Pending", "Succeeded", "Failed"}


def _namespaces(pods: Iterable[Object]) -> list[str]:
    return sorted({str(pod["metadata"]["namespace"]) for pod in pods})


def _in(namespace: str, pods: Iterable[Object]) -> list[Object]:
    return [pod for pod in pods if pod["metadata"]["namespace"] == namespace]

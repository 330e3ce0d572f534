"""Existing namespaces: those that a run did not create. Faults are injected in them only after an opt-in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.resources import PODS
from harness.common.errors import ClusterRefused
from harness.safety.guard.blast import Strike
from harness.safety.guard.policy import FILE, OPT_IN_LABEL, Policy
from harness.safety.guard.victims import check_namespace


def existing_refusals(name: str, namespace: Object | None, policy: Policy) -> list[str]:
    """Return why faults must not be injected in an existing namespace. ``namespace`` is None if it does not exist."""
    try:
        check_namespace(name)
    except ClusterRefused as error:
        return [str(error)]
    if namespace is None:
        return [f"the cluster has no namespace {name}"]
    found = (policy.namespace_refusal(name), _deleted(namespace), _opt_in(name, namespace, policy))
    return [why for why in found if why]


def outside(api: KubeApi, namespace: str, strikes: Iterable[Strike], workloads: Collection[str]) -> Iterator[str]:
    """Yield why victims in an existing namespace are not part of the selected ``workloads`` (``kind/name``).

    Nodes are left out: the caps limit which pods go down with them. Raises ApiError.
    """
    for victim in (victim for strike in strikes for victim in strike.victims if victim.kind != "Node"):
        name = f"{victim.kind.lower()}/{victim.name}"
        if victim.kind == "Pod":
            pod = api.find(PODS, victim.name, namespace)
            of = workload_of(pod) if pod else ""
            if of not in workloads:
                yield f"{name} belongs to {of or 'no workload'}, which the workload's selector does not select"
        elif name not in workloads:
            yield f"the workload's selector does not select {name}"


def _deleted(namespace: Object) -> str:
    name = namespace["metadata"]["name"]
    return f"namespace {name} is being deleted" if "deletionTimestamp" in namespace["metadata"] else ""


def _opt_in(name: str, namespace: Object, policy: Policy) -> str:
    labels = namespace["metadata"].get("labels") or {}
    if labels.get(OPT_IN_LABEL) == "true" or name in policy.existing.namespaces:
        return ""
    return (
        f"namespace {name} has not opted in to faults: run `kubectl label namespace {name} {OPT_IN_LABEL}=true`, or "
        f"add `existing: [{name}]` to {FILE}"
    )

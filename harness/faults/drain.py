"""Drains nodes: cordons them and evicts their pods through the eviction API, as ``kubectl drain`` does.

The API server enforces disruption budgets: an eviction that one forbids is tried again every second, until ``timeout``.
What then still stays is reported as blocked, with the budget's name; a blocked drain is no evidence unless
``mayBlock: true``. Pods of DaemonSets and static pods stay. Only pods of the experiment's namespace are evicted;
``namespaces: all`` evicts those of other namespaces too, except the cluster's own. Undone by uncordoning; the evicted
pods' controllers create new ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import has_ended
from harness.cluster.kube.owners import controller_kind, is_static, workload_of
from harness.cluster.kube.permissions import Permission, Place, allow
from harness.cluster.kube.resources import PODS
from harness.common.errors import ApiError, Inconclusive
from harness.faults.base import Effect, Evidence, FaultContext
from harness.faults.cordoning import Cordoning
from harness.faults.departure import fate, forbidden_by_budget, refusal, still_ending
from harness.model.quantities import Duration, show_seconds
from harness.model.timeline import Victim
from harness.safety.guard import check_victims
from harness.safety.guard.blast import Strike
from harness.safety.guard.victims import is_of_the_cluster

RETRY_EVERY = 1.0
_ADVICE = "Let the budget allow a disruption, such as maxUnavailable: 1, if the node must be drained"
_BUDGET = re.compile(r"disruption budget (\S+) ")


@dataclass(frozen=True, slots=True)
class Evictable:
    """A pod that is to be evicted, by the namespace that it is in."""

    namespace: str


class Drain(Cordoning):
    """Cordon nodes and evict their pods."""

    kind: ClassVar[str] = "drain"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo", "timeout": "20s"}
    effect: ClassVar[Effect] = Effect.PODS
    obeys_budgets: ClassVar[bool] = True

    timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=30.0, description="how long evictions that a disruption budget forbids are tried again, such as 30s"
    )
    may_block: bool = Field(
        default=False,
        strict=True,
        description="whether a drain that a disruption budget blocks until the timeout counts as injected",
    )
    namespaces: Literal["own", "all"] = Field(
        default="own",
        description="whose pods are evicted: those of the experiment's namespace, or of all but the cluster's own",
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        place: Place = "cluster" if self.namespaces == "all" else "experiment"
        evict = allow(PODS, "create", part="eviction", place=place)
        return super().permissions | allow(PODS, "list") | allow(PODS, "get", place=place) | evict

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        nodes = self.choose_victims(context)
        names = {node.name for node in nodes}
        pods = sorted(self._evicted(context, names), key=_place)
        if not pods:
            raise Inconclusive(f"no pod to evict on {', '.join(sorted(names))} in namespace {context.namespace}")
        for namespace in {pod["metadata"]["namespace"] for pod in pods}:
            check_victims([pod for pod in pods if pod["metadata"]["namespace"] == namespace], namespace)
        return (*nodes, *map(_victim, pods))

    def _evicted(self, context: FaultContext, nodes: set[str]) -> list[Object]:
        """Return the pods on these nodes that a drain evicts."""
        listed = context.api.list(PODS, context.namespace if self.namespaces == "own" else None).items
        # The API server lists items without their kind and apiVersion.
        full = ({"apiVersion": PODS.group_version, "kind": PODS.kind, **pod} for pod in listed)
        return [pod for pod in full if (pod.get("spec") or {}).get("nodeName") in nodes and _is_evicted(pod)]

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        nodes, pods = _split(victims)
        for pod in pods:
            if fate(context.api.find(PODS, pod.name, _namespace(pod)), pod.uid):
                raise Inconclusive(f"pod {pod.name} disappeared before it could be evicted, not by this fault")
        also = f"; evicting {', '.join(pod.name for pod in pods)} is not undone: their controllers replace them"
        self.cordon(context, nodes, also)
        deadline = context.clock.monotonic() + self.timeout
        while pods := [pod for pod in pods if not _evict(context.api, pod)]:
            left = deadline - context.clock.monotonic()
            if left <= 0:
                return
            context.clock.sleep(min(RETRY_EVERY, left))

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven if every node is cordoned and every pod is gone or terminating, or, with ``mayBlock``, is blocked."""
        nodes, pods = _split(victims)
        outcomes = [self.cordoned(context, node) for node in nodes]
        outcomes += [self._outcome(context.api, pod) for pod in pods]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, api: KubeApi, pod: Victim) -> tuple[bool, str]:
        now = api.find(PODS, pod.name, _namespace(pod))
        found = fate(now, pod.uid)
        if now is None or found:
            return True, f"{pod.name} (uid {pod.uid}) {found}"
        try:
            api.evict(pod.name, _namespace(pod), uid=pod.uid, dry_run=True)
        except ApiError as error:
            if not forbidden_by_budget(error):
                raise
            name = _BUDGET.search(str(error))
            by = f"poddisruptionbudget/{name[1]}" if name else "disruption budgets"
            why = refusal(error, now, _ADVICE)
            blocked = f"the drain was blocked by {by} for {show_seconds(self.timeout)}: {why}"
            return self.may_block, f"{pod.name} stays: {blocked}"
        return False, f"{pod.name} (uid {pod.uid}) is still there, and no budget forbids its eviction"

    def strike(self, victims: tuple[Victim, ...]) -> Strike:
        return replace(super().strike(victims), may_be_refused=self.may_block)

    def unfinished(self, context: FaultContext, victims: tuple[Victim, ...]) -> str:
        """Return the evicted pods that are still terminating: until they have ended, they may still serve."""
        _, pods = _split(victims)
        found = ((pod, context.api.find(PODS, pod.name, _namespace(pod))) for pod in pods)
        return still_ending(seen for pod, seen in found if seen and seen["metadata"]["uid"] == pod.uid)


def _split(victims: Sequence[Victim]) -> tuple[list[Victim], list[Victim]]:
    nodes = [victim for victim in victims if victim.kind == "Node"]
    return nodes, [victim for victim in victims if victim.kind != "Node"]


def _evict(api: KubeApi, pod: Victim) -> bool:
    """Evict a pod; return whether it is evicted or gone, and not protected by a disruption budget now."""
    try:
        api.evict(pod.name, _namespace(pod), uid=pod.uid)
    except ApiError as error:
        # 409 means that another pod has the name now. It left in the course of the drain, whatever removed it.
        if error.status not in {404, 409} and not forbidden_by_budget(error):
            raise
        return error.status in {404, 409}
    return True


def _is_evicted(pod: Object) -> bool:
    if has_ended(pod) or "deletionTimestamp" in pod["metadata"] or is_of_the_cluster(pod["metadata"]["namespace"]):
        return False
    return controller_kind(pod) != "DaemonSet" and not is_static(pod)


def _namespace(pod: Victim) -> str:
    return pod.state_before(Evictable).namespace


def _place(pod: Object) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]


def _victim(pod: Object) -> Victim:
    metadata = pod["metadata"]
    detail = f"on {pod['spec'].get('nodeName')}, controlled by {workload_of(pod)}"
    return Victim("Pod", metadata["name"], metadata["uid"], detail, Evictable(metadata["namespace"]))

"""Uses up resources of nodes: CPU, memory, disk I/O and processes, by stress-ng in a pod on each node.

The pod is in the experiment's namespace and has no volumes and no privileges, so that this works on every cluster. With
`requests` it competes with the other pods of its node by that weight; without them it gets what is left over, and
is the first to be killed when memory is short. It is bound to the node without the scheduler, and takes part in nothing
of the workload. Memory is bounded by `memory` alone: choose less than the node can lose.

Undone by deleting the pods. stress-ng ends by itself after the time-to-live of the effect, and the kubelet ends the pod
then. Evidence is what the kernel counted for the pod: CPU time, memory and kills for lack of it, disk I/O, tasks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import EXEC_VERBS, Permission, allow
from harness.cluster.kube.quantities import amount_of
from harness.cluster.kube.resources import NODES, PODS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.common.naming import MANAGED_BY
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.node_targets import NodeTarget
from harness.faults.stress import START_SECONDS, Counters, Stress, StressContainer, judged
from harness.model.timeline import Victim

CONTAINER = "stress"
# For stress-ng to end in order before the kubelet kills it.
_GRACE_SECONDS = 2


def _check_requests(found: dict[str, str]) -> dict[str, str]:
    if unknown := set(found) - {"cpu", "memory"}:
        raise ValueError(f"found {', '.join(sorted(unknown))}, expected cpu and memory")
    for name, quantity in found.items():
        try:
            amount_of(quantity)
        except ValueError as error:
            raise ValueError(f"found {name}: {quantity!r}, expected a quantity such as 500m or 128Mi") from error
    return found


@dataclass(frozen=True, slots=True)
class StressPod:
    """The name of the pod that is put on a node."""

    pod: str


class NodeStress(NodeTarget, Stress, Fault):
    """Use up resources of nodes."""

    kind: ClassVar[str] = "nodeStress"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo", "cpu": 2, "memory": "64Mi"}
    effect: ClassVar[Effect] = Effect.STRESS
    disruptive: ClassVar[bool] = True

    requests: Annotated[dict[str, str], AfterValidator(_check_requests)] = Field(
        default_factory=dict,
        description="what the pod reserves, and so its weight: cpu and memory, as in a container's resources",
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        pods = allow(PODS, "create", "get", "delete") | allow(PODS, *EXEC_VERBS, part="exec")
        return self.target_permissions | allow(NODES, "get", place="cluster") | pods

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        nodes = self.choose_nodes(context.cluster, context.namespace, context.rng)
        number = context.rng.getrandbits(32)
        return tuple(
            Victim(
                "Node",
                node["metadata"]["name"],
                node["metadata"]["uid"],
                self.summary(),
                StressPod(f"stress-{number:08x}-{index}"),
            )
            for index, node in enumerate(nodes)
        )

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found = context.api.find(NODES, victim.name)
            if found is None or found["metadata"]["uid"] != victim.uid:
                raise Inconclusive(f"node {victim.name} left the cluster before it could be stressed")
        for victim in victims:
            pod = victim.state_before(StressPod).pod
            parameters = {"namespace": context.namespace, "node": victim.name, "pod": pod}
            context.journal.write(self.kind, f"delete pod {pod}, which stresses {victim.name}", parameters)
        for victim in victims:
            try:
                context.api.create(PODS, self._pod(victim, context.journal.ttl), context.namespace)
            except ApiError as error:
                raise Inconclusive(f"node {victim.name} could not be stressed: {error}") from error
        # All of them are there before the first one starts, so that they begin together.
        for victim in victims:
            _container(context.api, context.namespace, victim.state_before(StressPod).pod).start(context)

    def _pod(self, victim: Victim, seconds: float) -> Object:
        container = self.stressor(CONTAINER, seconds)
        return {
            "apiVersion": PODS.group_version,
            "kind": PODS.kind,
            "metadata": {"name": victim.state_before(StressPod).pod, "labels": {**MANAGED_BY}},
            "spec": {
                "nodeName": victim.name,
                "restartPolicy": "Never",
                "activeDeadlineSeconds": math.ceil(seconds + START_SECONDS),
                "terminationGracePeriodSeconds": _GRACE_SECONDS,
                "automountServiceAccountToken": False,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{**container, "resources": {"requests": self.requests}} if self.requests else container],
            },
        }

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        pods = {victim.name: victim.state_before(StressPod).pod for victim in victims}

        def counters(node: str) -> Counters | str:
            container = _container(context.api, context.namespace, pods[node])
            try:
                return container.counters() if container.runs() else "stress-ng does not run"
            except HarnessError as error:
                return str(error)

        return judged(self, list(pods), counters)

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        name, namespace = parameters["pod"], parameters["namespace"]
        if cluster.api.find(PODS, name, namespace) is not None:
            cluster.api.delete(PODS, name, namespace)
        if cluster.api.find(PODS, name, namespace) is not None:
            raise NotYet(f"pod {name}, which stresses {parameters['node']}, has not ended")
        return f"pod {name}, which stressed {parameters['node']}, is gone"


def _container(api: KubeApi, namespace: str, pod: str) -> StressContainer:
    def status() -> Mapping[str, Any] | None:
        found = api.find(PODS, pod, namespace)
        if found is None:
            return None
        status = found.get("status") or {}
        if status.get("phase") == "Failed":
            # Refused by the kubelet, such as OutOfcpu: it has no containers.
            ended = {"exitCode": "none", "reason": f"{status.get('reason')} {status.get('message') or ''}".strip()}
            return {"state": {"terminated": ended}}
        return next(iter(status.get("containerStatuses") or ()), {})

    return StressContainer(api, namespace, pod, CONTAINER, status)

"""A model of the cluster, in memory: its nodes and pods as they are now, and the workload as it will be when deployed.

Nothing that is done to it reaches the real one: faults are rehearsed on it, by the code that would break the other.
What only shows when the workload runs is guessed: pods are spread evenly over the nodes that take work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from harness.clock import FakeClock
from harness.cluster.api import Object
from harness.cluster.fake import FakeCluster
from harness.cluster.fake_controllers import DeploymentController, Kubelet
from harness.cluster.fake_store import Change, Store
from harness.cluster.protocol import Cluster
from harness.cluster.resources import BUDGETS, DAEMON_SETS, NAMESPACES, NODES, PODS, STATEFUL_SETS
from harness.labels import matches_labels

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def model_of(cluster: Cluster, objects: Sequence[Object], namespace: str) -> FakeCluster:
    """The model of a cluster in which a workload is deployed. Reads only. Raises ApiError."""
    nodes, pods = cluster.api.list(NODES).items, cluster.api.list(PODS).items
    model = FakeCluster(FakeClock(), name=cluster.name, capabilities=cluster.capabilities())
    store, server = model.server.store, model.server
    server.seed(*nodes)
    known = set(server.namespaces())
    server.seed(*(item for item in cluster.api.list(NAMESPACES).items if item["metadata"]["name"] not in known))
    server.seed(*(pod for pod in pods if pod["metadata"]["namespace"] != namespace))
    workers = sorted(node["metadata"]["name"] for node in nodes if _takes_work(node))
    store.reactors += [_Spread(workers), DeploymentController(), _Sets(len(workers))]
    # Budgets last: what they allow depends on the pods.
    for item in sorted(objects, key=lambda item: bool(item["kind"] == BUDGETS.kind)):
        placed = _with_status(item, store, namespace) if item["kind"] == BUDGETS.kind else item
        server.seed(placed, namespace=namespace)
    return model


def _takes_work(node: Object) -> bool:
    labels, spec = node["metadata"].get("labels") or {}, node.get("spec") or {}
    return _CONTROL_PLANE not in labels and not spec.get("unschedulable")


class _Spread(Kubelet):
    """Puts pods on one node after the other."""

    def __init__(self, nodes: Sequence[str]) -> None:
        super().__init__(nodes[0] if nodes else "")
        self._next = cycle(nodes or [""])

    def react(self, store: Store, change: Change) -> None:
        if change.resource == PODS and change.type == "ADDED":
            self.node = next(self._next)
        super().react(store, change)


@dataclass(frozen=True, slots=True)
class _Sets:
    """Makes the pods of StatefulSets, by their lasting names, and one for each node of DaemonSets."""

    nodes: int

    def react(self, store: Store, change: Change) -> None:
        if change.type != "ADDED" or change.resource not in {STATEFUL_SETS, DAEMON_SETS}:
            return
        owner = change.object
        daemons = change.resource == DAEMON_SETS
        for number in range(self.nodes if daemons else owner["spec"].get("replicas", 1)):
            template = owner["spec"]["template"]
            reference = {"apiVersion": "apps/v1", "kind": owner["kind"], "controller": True}
            reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
            metadata = {**(template.get("metadata") or {}), "ownerReferences": [reference]}
            metadata["name"] = f"{owner['metadata']['name']}-{number}"
            store.create(PODS, change.namespace, {"metadata": metadata, "spec": template["spec"]})


def _with_status(budget: Object, store: Store, namespace: str) -> Object:
    """A budget with what its controller would say that it allows when every pod is healthy."""
    spec = budget.get("spec") or {}
    selector = spec.get("selector") or {}
    covered = [
        pod for pod in store.list(PODS, namespace) if matches_labels(selector, pod["metadata"].get("labels") or {})
    ]
    if "maxUnavailable" in spec:
        allowed = _number(spec["maxUnavailable"], len(covered))
    else:
        allowed = len(covered) - _number(spec.get("minAvailable", 1), len(covered))
    return {**budget, "status": {"disruptionsAllowed": max(0, allowed)}}


def _number(value: int | str, of: int) -> int:
    # The disruption controller rounds both up.
    return -(-int(value.rstrip("%")) * of // 100) if isinstance(value, str) else value

"""An in-memory model of a cluster: its present nodes and pods, and the workload as it will be when deployed.

A dry run injects faults into the model with the same code as into a real cluster; nothing reaches the real one. The
placement of the workload's pods is a guess: they are spread evenly over the schedulable nodes. Objects of every kind
are stored. For custom resources that the workload does not define, the real cluster's discovery is read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.controllers import DeploymentController, spec_of
from harness.cluster.fake.revisions import Revisions
from harness.cluster.fake.rollouts import Rollouts
from harness.cluster.fake.store import Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import defined_by, is_guess, resource_of
from harness.cluster.kube.resources import (
    API_SERVICES,
    AUTOSCALERS,
    BUDGETS,
    METRICS_API,
    NAMESPACES,
    NODES,
    PODS,
    Resource,
)
from harness.cluster.protocol import Cluster
from harness.common.clock import FakeClock
from harness.common.errors import ApiError
from harness.common.labels import matches_labels
from harness.experiment.forecast.controllers import Owners, Spread

_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def model_of(cluster: Cluster, objects: Sequence[Object], namespace: str) -> FakeCluster:
    """Return a model of the cluster with the workload deployed. Only reads from the cluster. Raises ApiError.

    ``namespace`` is that of the objects that name none.
    """
    nodes, pods = cluster.api.list(NODES).items, cluster.api.list(PODS).items
    model = FakeCluster(FakeClock(), name=cluster.name, capabilities=cluster.capabilities())
    store, server = model.server.store, model.server
    server.seed(*nodes)
    known = set(server.namespaces())
    server.seed(*(item for item in cluster.api.list(NAMESPACES).items if item["metadata"]["name"] not in known))
    own = {namespace, *(item["metadata"].get("namespace") for item in objects)}
    server.seed(*(pod for pod in pods if pod["metadata"]["namespace"] not in own))
    workers = sorted(node["metadata"]["name"] for node in nodes if _takes_work(node))
    store.reactors += [Spread(workers), DeploymentController(), Revisions(), Rollouts(), Owners(len(workers))]
    defined = defined_by(objects)
    for item in objects:
        server.serve(_where(cluster, item, defined))
    if any(item["kind"] == AUTOSCALERS.kind for item in objects):
        server.seed(*_metrics_apis(cluster))
    # Budgets come last, since their status depends on the pods.
    for item in sorted(objects, key=lambda item: bool(item["kind"] == BUDGETS.kind)):
        placed = _with_status(item, store, namespace) if item["kind"] == BUDGETS.kind else item
        _put(model, _computing(placed) if item["kind"] == AUTOSCALERS.kind else placed, namespace)
    return model


def _where(cluster: Cluster, item: Object, defined: Sequence[Resource]) -> Resource:
    api_version, kind = item["apiVersion"], item["kind"]
    if is_guess(api_version, kind, defined):
        try:
            return cluster.api.discover(api_version, kind)
        except ApiError as error:
            # The preflight check of the experiment's requirements reports a missing kind.
            if not error.not_found:
                raise
    return resource_of(api_version, kind, defined)


def _put(model: FakeCluster, item: Object, namespace: str) -> None:
    """Seed an object. One that already exists, such as a namespace, is kept."""
    try:
        model.server.seed(item, namespace=namespace)
    except ApiError as error:
        if error.status != 409:
            raise


def _takes_work(node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    return _CONTROL_PLANE not in labels and not spec_of(node).get("unschedulable")


def _with_status(budget: Object, store: Store, namespace: str) -> Object:
    """Return a budget with the status that its controller would set if every pod were healthy."""
    spec = spec_of(budget)
    selector = spec.get("selector")
    pods = store.list(PODS, budget["metadata"].get("namespace") or namespace)
    covered = sum(matches_labels(selector, pod["metadata"].get("labels") or {}) for pod in pods)
    if spec.get("maxUnavailable") is not None:
        desired = max(0, covered - _number(spec["maxUnavailable"], covered))
    elif spec.get("minAvailable") is not None:
        desired = _number(spec["minAvailable"], covered)
    else:
        # With neither field the controller allows no disruptions.
        desired = covered
    status = {"currentHealthy": covered, "desiredHealthy": desired, "expectedPods": covered, "observedGeneration": 1}
    return {**budget, "status": {**status, "disruptionsAllowed": max(0, covered - desired)}}


def _metrics_apis(cluster: Cluster) -> Iterator[Object]:
    """Yield what serves the metrics of pods; nothing if that may not be read."""
    try:
        found = cluster.api.find(API_SERVICES, METRICS_API)
    except ApiError as error:
        if error.status != 403:
            raise
        return
    if found:
        yield found


def _computing(autoscaler: Object) -> Object:
    """Return an autoscaler with the status that its controller would set if it read every metric."""
    metrics = spec_of(autoscaler).get("metrics") or [{"type": "Resource"}]
    active = {"type": "ScalingActive", "status": "True"}
    return {**autoscaler, "status": {"conditions": [active], "currentMetrics": metrics}}


def _number(value: object, of: int) -> int:
    # The disruption controller rounds percentages up, both for minAvailable and for maxUnavailable.
    if isinstance(value, int):
        return value
    share = re.fullmatch(r"(\d+)%", str(value))
    return math.ceil(int(share[1]) * of / 100) if share else 0

"""Revisions of StatefulSets and DaemonSets: rolled out, rolled back, and undone with the pods that stay stuck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.revisions import Revisions
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import CONTROLLER_REVISIONS, PODS, WORKLOADS
from harness.common.errors import Inconclusive, NotYet
from harness.experiment import registry
from harness.experiment.fault_needs import Manifests
from harness.experiment.manifests import Workload
from harness.faults.base import FaultContext
from harness.faults.good_change import incomplete
from harness.faults.revisions import REVISION_LABEL, revisions
from harness.model.timeline import Victim
from harness.safety.guard.rollouts import may_lose
from tests.fake_world import NAMESPACE, World, owner

KINDS = {"statefulset": "StatefulSet", "daemonset": "DaemonSet"}


def _seed(world: World, kind: str, **spec: Any) -> None:
    world.cluster.server.store.reactors.append(Revisions())
    labels = {"app": "db"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "db", "image": "db:1"}]}}
    body = {"replicas": 2} if kind == "statefulset" else {}
    body |= {"selector": {"matchLabels": labels}, "template": template, **spec}
    item = {"apiVersion": "apps/v1", "kind": KINDS[kind], "metadata": {"name": "db"}, "spec": body}
    world.cluster.server.seed(item, namespace=NAMESPACE)


def _find(world: World, kind: str) -> Object:
    return world.api.get(WORKLOADS[kind], "db", NAMESPACE)


def _inject(context: FaultContext, fault: str, **parameters: Any) -> tuple[bool, tuple[Victim, ...]]:
    made = registry.faults()[fault].model_validate(parameters)
    victims = made.choose(context)
    made.inject(context, victims)
    return made.evidence(context, victims).proven, victims


def _undo(world: World, context: FaultContext, number: int) -> str:
    entry = context.journal.entries[number]
    return registry.undo_actions()[entry.kind](world.cluster, entry.parameters)


def _pod(world: World, name: str, revision: str, *, ready: bool) -> None:
    uid = _find(world, "statefulset")["metadata"]["uid"]
    metadata = {
        "name": name,
        "labels": {REVISION_LABEL: revision},
        "ownerReferences": owner("StatefulSet", "db", uid),
    }
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}, "status": status}
    world.cluster.server.seed(pod, namespace=NAMESPACE)


@pytest.mark.parametrize("kind", KINDS)
def test_rollback_of_any_workload_restores_every_field(world: World, kind: str) -> None:
    _seed(world, kind, podManagementPolicy="Parallel")
    before, context = _find(world, kind)["spec"], world.context()
    patch = {"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": [{"name": "db", "image": "db:2"}]}}
    _inject(context, "rollout", of=f"{kind}/db", patch=patch)
    assert _find(world, kind)["spec"]["template"]["spec"]["containers"][0]["image"] == "db:2"
    proven, _ = _inject(context, "rollback", of=f"{kind}/db")
    assert proven
    assert _find(world, kind)["spec"] == before
    assert [found.number for found in revisions(world.api, _find(world, kind))] == [2, 3]
    _undo(world, context, 1)
    assert _undo(world, context, 0) == f"{kind}/db has the pod template of revision 1"
    assert _find(world, kind)["spec"] == before
    assert not _find(world, kind)["metadata"].get("annotations")


def test_undo_deletes_the_pods_that_keep_a_stateful_set_stuck(world: World) -> None:
    _seed(world, "statefulset")
    context = world.context()
    _inject(context, "badRollout", of="statefulset/db", image="db:bad")
    good, bad = (found.name for found in revisions(world.api, _find(world, "statefulset")))
    _pod(world, "db-0", good, ready=True)
    _pod(world, "db-1", bad, ready=False)
    with pytest.raises(NotYet, match="was rolled back, but its controller has not observed it"):
        _undo(world, context, 0)
    with pytest.raises(NotYet, match="pod db-1 of another revision was not ready, and is deleted"):
        _undo(world, context, 0)
    assert _undo(world, context, 0) == "statefulset/db has the pod template of revision 1"
    names = [pod["metadata"]["name"] for pod in world.api.list(PODS, NAMESPACE).items]
    assert "db-0" in names
    assert "db-1" not in names


def test_failing_pod_of_the_new_revision_is_evidence(world: World) -> None:
    _seed(world, "statefulset")
    context = world.context()
    fault = registry.faults()["badRollout"].model_validate({"of": "statefulset/db", "image": "db:bad"})
    victims = fault.choose(context)
    fault.inject(context, victims)
    good, bad = (found.name for found in revisions(world.api, _find(world, "statefulset")))
    _pod(world, "db-0", good, ready=False)
    assert not fault.evidence(context, victims).proven, "a pod of the version before"
    _pod(world, "db-1", bad, ready=False)
    condition = {"type": "PodScheduled", "status": "False", "message": "no node fits"}
    status = {"status": {"conditions": [condition]}}
    world.api.patch(PODS, "db-1", status, NAMESPACE, subresource="status")
    evidence = fault.evidence(context, victims)
    assert evidence.proven
    assert f"ControllerRevision {bad}: db-1 is not scheduled: no node fits" in evidence.text


def test_update_on_delete_is_refused(world: World) -> None:
    _seed(world, "daemonset", updateStrategy={"type": "OnDelete"})
    with pytest.raises(Inconclusive, match="has the update strategy OnDelete"):
        _inject(world.context(), "restart", of="daemonset/db")


def test_update_on_delete_is_proven_by_its_revision(world: World) -> None:
    _seed(world, "statefulset", updateStrategy={"type": "OnDelete"})
    context = world.context()
    patch = {"metadata": {"annotations": {"a": "b"}}}
    proven, _ = _inject(context, "rollout", of="statefulset/db", patch=patch, awaits="recorded")
    assert proven
    assert len(revisions(world.api, _find(world, "statefulset"))) == 2


@pytest.mark.parametrize(
    ("updated", "partition", "complete"), [(1, 1, True), (2, 0, True), (1, 0, False), (0, 1, False), (0, 5, True)]
)
def test_rolling_update_is_complete_at_its_partition(updated: int, partition: int, complete: bool) -> None:
    spec = {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": partition}}}
    status = {"observedGeneration": 1, "replicas": 2, "availableReplicas": 2, "updatedReplicas": updated}
    item = {"kind": "StatefulSet", "metadata": {"generation": 1}, "spec": spec, "status": status}
    assert (incomplete(item) == "") is complete


def test_update_on_delete_would_last_in_an_existing_namespace(tmp_path: Path) -> None:
    body = {"updateStrategy": {"type": "OnDelete"}, "template": {"metadata": {}, "spec": {"containers": []}}}
    item = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": body}
    manifests = Manifests(Workload(tmp_path, (item,), ()))
    fault = registry.faults()["rollout"].model_validate(
        {"of": "statefulset/db", "patch": {"a": 1}, "awaits": "recorded"}
    )
    ((place, message),) = fault.lasting(manifests)
    assert (place, "pods that took the new version would keep it" in message) == (("of",), True)


def test_workload_without_a_revision_is_refused(world: World) -> None:
    _seed(world, "daemonset")
    for found in revisions(world.api, _find(world, "daemonset")):
        world.api.delete(CONTROLLER_REVISIONS, found.name, NAMESPACE)
    with pytest.raises(Inconclusive, match="has no ControllerRevision with its current pod template"):
        _inject(world.context(), "restart", of="daemonset/db")


@pytest.mark.parametrize(
    ("kind", "spec", "lost"),
    [
        ("StatefulSet", {"replicas": 3}, 1),
        ("StatefulSet", {"replicas": 0}, 0),
        ("StatefulSet", {"replicas": 4, "updateStrategy": {"rollingUpdate": {"maxUnavailable": "50%"}}}, 2),
        ("DaemonSet", {}, 1),
        ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}, 0),
        ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "50%"}}}, 2),
    ],
)
def test_pods_that_a_rollout_may_remove(kind: str, spec: dict[str, Any], lost: int) -> None:
    assert may_lose({"kind": kind, "spec": spec, "status": {"desiredNumberScheduled": 3}}) == lost

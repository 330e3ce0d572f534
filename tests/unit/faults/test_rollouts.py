"""Changes of a Rollout of Argo Rollouts: its exact pod template is kept, and restored."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.rollouts import Rollouts
from harness.cluster.kube.client import Object
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.resources import CONTROLLER_REVISIONS, PODS, ROLLOUTS
from harness.common.errors import ApiError, Inconclusive
from harness.experiment import registry
from harness.faults.base import FaultContext
from harness.faults.revisions import revisions
from harness.faults.template_change import MARK
from harness.model.timeline import Victim
from harness.safety.guard.rollouts import may_lose
from tests.fake_world import NAMESPACE, World, owner

OF = "rollout/podinfo"
LABELS = {"app": "podinfo"}
BAD = {"spec": {"containers": [{"name": "podinfo", "image": "podinfo:bad"}], "nodeName": None}}


@pytest.fixture(autouse=True)
def rollout(world: World) -> None:
    world.cluster.server.store.reactors.append(Rollouts())
    container = {"name": "podinfo", "image": "podinfo:1", "env": [{"name": "TOKEN", "value": "secret"}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container], "nodeName": "n"}}
    spec = {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template, "strategy": {"canary": {}}}
    item = {"apiVersion": ROLLOUTS.group_version, "kind": ROLLOUTS.kind, "metadata": {"name": "podinfo"}, "spec": spec}
    world.cluster.server.seed(item, namespace=NAMESPACE)


def _find(world: World) -> Object:
    return world.api.get(ROLLOUTS, "podinfo", NAMESPACE)


def _inject(context: FaultContext, fault: str = "badRollout", **fields: Any) -> tuple[Any, tuple[Victim, ...]]:
    made = registry.faults()[fault].model_validate({"of": OF, "patch": BAD, **fields})
    victims = made.choose(context)
    made.inject(context, victims)
    return made, victims


def _undo(world: World, context: FaultContext, number: int = 0) -> str:
    entry = context.journal.entries[number]
    return registry.undo_actions()[entry.kind](world.cluster, entry.parameters)


def _kept(world: World) -> list[Object]:
    return world.api.list(CONTROLLER_REVISIONS, NAMESPACE).items


def test_undo_restores_the_template_without_defaults(world: World) -> None:
    before, context = _find(world)["spec"], world.context()
    _inject(context)
    after = _find(world)["spec"]["template"]["spec"]
    assert (after["containers"][0]["image"], "nodeName" in after) == ("podinfo:bad", False)
    assert after["containers"][0]["env"] == before["template"]["spec"]["containers"][0]["env"]
    assert _undo(world, context) == f"{OF} was rolled back to the pod template of revision 1"
    assert _find(world)["spec"] == before
    assert (_kept(world), MARK in _find(world)["metadata"]["annotations"]) == ([], False)


def test_kept_template_belongs_to_the_rollout(world: World) -> None:
    _inject(world.context())
    (kept,) = _kept(world)
    assert is_owned_by(kept, _find(world)["metadata"]["uid"])


def test_journal_has_nothing_of_the_template(world: World) -> None:
    context = world.context()
    _inject(context)
    assert "secret" not in str(context.journal.entries)


def test_failed_change_leaves_no_kept_template(world: World) -> None:
    context = world.context()
    world.cluster.server.fail_next(400, method="PATCH", path="/rollouts/")
    with pytest.raises(ApiError):
        _inject(context)
    assert len(_kept(world)) == 1
    assert "does not have this fault's annotation" in _undo(world, context)
    assert _kept(world) == []


def test_undo_without_the_kept_template_is_an_error(world: World) -> None:
    context = world.context()
    _inject(context)
    (kept,) = _kept(world)
    world.api.delete(CONTROLLER_REVISIONS, kept["metadata"]["name"], NAMESPACE)
    with pytest.raises(Exception, match="cannot be rolled back: controllerrevision/podinfo-before-"):
        _undo(world, context)


def test_later_rollout_by_another_user_is_kept(world: World) -> None:
    context = world.context()
    _inject(context)
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "by:hand"}]
    world.api.patch(ROLLOUTS, "podinfo", patch, NAMESPACE, strategy="json")
    assert _undo(world, context) == f"{OF} is at revision 3: rolled out by another client since, not touched"
    assert _kept(world) == []


def test_ready_pod_of_the_new_version_is_evidence(world: World) -> None:
    context = world.context()
    fault, victims = _inject(context, badThoughReady=True)
    assert not fault.evidence(context, victims).proven
    newest = revisions(world.api, _find(world))[-1]
    metadata = {"name": "new", "ownerReferences": owner(name=newest.name, uid=newest.uid)}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"apiVersion": "v1", "kind": PODS.kind, "metadata": metadata, "spec": {"containers": []}, "status": status}
    world.cluster.server.seed(pod, namespace=NAMESPACE)
    assert fault.evidence(context, victims).proven


def test_rollout_whose_controller_is_behind_is_refused(world: World) -> None:
    world.cluster.server.store.reactors.pop()
    world.api.patch(ROLLOUTS, "podinfo", {"spec": {"replicas": 4}}, NAMESPACE)
    with pytest.raises(Inconclusive, match="has no ReplicaSet with its current pod template"):
        _inject(world.context())


@pytest.mark.parametrize(
    ("strategy", "lost"),
    [
        ({"canary": {"maxSurge": 1, "maxUnavailable": 0}}, 0),
        ({"canary": {"maxUnavailable": 2}}, 2),
        ({"canary": {}}, 1),
        ({"blueGreen": {"activeService": "podinfo"}}, 0),
    ],
)
def test_pods_that_a_delivery_may_remove(strategy: dict[str, Any], lost: int) -> None:
    assert may_lose({"kind": "Rollout", "spec": {"replicas": 4, "strategy": strategy}}) == lost

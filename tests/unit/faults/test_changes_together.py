"""Several changes of one workload at a time: whatever the order of their undo, the original is back at the end."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import DEPLOYMENTS, PODS
from harness.common.errors import Inconclusive
from harness.experiment import registry
from harness.faults.base import FaultContext
from harness.faults.pausing import MARK as PAUSED
from harness.faults.template_change import MARK
from tests.fake_world import NAMESPACE, World

BAD = {"of": "deployment/podinfo", "image": "podinfo:bad"}
OF = {"of": "deployment/podinfo"}


def _deployment(world: World) -> Object:
    return world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)


def _inject(context: FaultContext, kind: str, **parameters: Any) -> bool:
    """Inject a fault; return whether it has evidence."""
    fault = registry.faults()[kind].model_validate(parameters)
    victims = fault.choose(context)
    fault.inject(context, victims)
    return fault.evidence(context, victims).proven


def _undo(world: World, context: FaultContext, *entries: int) -> list[str]:
    undo = registry.undo_actions()
    chosen = [context.journal.entries[number] for number in entries]
    return [undo[entry.kind](world.cluster, entry.parameters) for entry in chosen]


def _images(world: World) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in world.api.list(PODS, NAMESPACE).items}


def test_rollback_reverts_a_bad_rollout_to_the_original(world: World) -> None:
    world.kubelet.missing.add("podinfo:bad")
    before, context = _deployment(world)["spec"], world.context()
    assert _inject(context, "badRollout", **BAD)
    assert _inject(context, "rollback", **OF)
    assert _deployment(world)["spec"] == before
    assert _images(world) == {"podinfo:1"}


def test_evidence_is_of_the_fault_s_own_version(world: World) -> None:
    """A pod that is not ready for a moment after the rollback shows nothing about the bad version."""
    context = world.context()
    fault = registry.faults()["badRollout"].model_validate(BAD)
    victims = fault.choose(context)
    fault.inject(context, victims)
    world.kubelet.missing.add("podinfo:1")
    _inject(context, "rollback", **OF)
    evidence = fault.evidence(context, victims)
    assert (evidence.proven, "revision 2" in evidence.text) == (False, True)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_original_template_is_back_after_all_undos(world: World, order: tuple[int, ...]) -> None:
    before, context = _deployment(world)["spec"], world.context()
    _inject(context, "badRollout", **BAD)
    _inject(context, "rollback", **OF)
    _inject(context, "rollout", **OF, image="podinfo:2")
    said = _undo(world, context, *order)
    assert said[0] == "deployment/podinfo keeps its pod template until its other changes are undone too"
    assert said[-1] == "deployment/podinfo was rolled back to the pod template of revision 1"
    after = _deployment(world)
    assert after["spec"] == before
    assert MARK not in after["metadata"]["annotations"]


def test_undo_of_a_rollback_never_rolls_out_the_bad_version(world: World) -> None:
    context = world.context()
    _inject(context, "badRollout", **BAD)
    _inject(context, "rollback", **OF)
    generation = _deployment(world)["metadata"]["generation"]
    said = _undo(world, context, 1, 0)
    assert said[-1] == "deployment/podinfo has the pod template of revision 1"
    assert _deployment(world)["metadata"]["generation"] == generation


def test_undo_of_several_skips_a_rollout_by_another_user(world: World) -> None:
    context = world.context()
    _inject(context, "badRollout", **BAD)
    _inject(context, "rollback", **OF)
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "by:hand"}]
    world.api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="json")
    assert "rolled out by another client since" in _undo(world, context, 1, 0)[-1]
    assert _images(world) == {"by:hand"}


def test_rollback_to_a_named_revision(world: World) -> None:
    context = world.context()
    _inject(context, "rollout", **OF, image="podinfo:2")
    _inject(context, "rollout", **OF, image="podinfo:3")
    assert _inject(context, "rollback", **OF, toRevision=1)
    assert _images(world) == {"podinfo:1"}
    # Revision 1 is number 4 now, so the previous one is 3.
    assert _inject(context, "rollback", **OF)
    assert _images(world) == {"podinfo:3"}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({}, "deployment/podinfo has no previous revision: found only revision 1"),
        ({"toRevision": 1}, "no-op: deployment/podinfo already has the pod template of revision 1"),
        ({"toRevision": 7}, "deployment/podinfo has no revision 7: found 1"),
    ],
)
def test_rollback_without_a_target_is_inconclusive(world: World, parameters: dict[str, Any], said: str) -> None:
    context = world.context()
    with pytest.raises(Inconclusive, match=said):
        _inject(context, "rollback", **OF, **parameters)
    assert context.journal.entries == []


def test_history_must_keep_the_original_of_several_changes(world: World) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"revisionHistoryLimit": 1}}, NAMESPACE)
    context = world.context()
    _inject(context, "rollout", **OF, image="podinfo:2")
    with pytest.raises(Inconclusive, match="found revisionHistoryLimit: 1, expected at least 2"):
        _inject(context, "rollout", **OF, image="podinfo:3")


def test_annotation_of_another_client_is_not_undone(world: World) -> None:
    context = world.context()
    _inject(context, "rollout", **OF, image="podinfo:2")
    world.api.patch(DEPLOYMENTS, "podinfo", {"metadata": {"annotations": {MARK: "7"}}}, NAMESPACE)
    assert "does not have this fault's annotation" in _undo(world, context, 0)[0]
    assert _images(world) == {"podinfo:2"}


@pytest.mark.parametrize("awaits", ["complete", "started"])
def test_rollout_that_is_not_complete_has_only_started(world: World, awaits: str) -> None:
    world.kubelet.unready.add("podinfo:2")
    assert _inject(world.context(), "rollout", **OF, image="podinfo:2", awaits=awaits) is (awaits == "started")


def test_restart_replaces_every_pod_and_writes_as_kubectl(world: World) -> None:
    before = world.pods()
    assert _inject(world.context(), "restart", **OF)
    assert not set(before) & set(world.pods())
    annotations = _deployment(world)["spec"]["template"]["metadata"]["annotations"]
    assert annotations == {"kubectl.kubernetes.io/restartedAt": "2023-11-14T22:13:20.000Z"}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_pause_and_resume_restore_the_setting_in_any_order(world: World, order: tuple[int, int]) -> None:
    before, context = _deployment(world)["spec"], world.context()
    assert _inject(context, "pause", **OF)
    assert _deployment(world)["spec"]["paused"] is True
    assert _inject(context, "resume", **OF)
    said = _undo(world, context, *order)
    assert said[0] == "deployment/podinfo stays not paused until its other changes are undone too"
    assert said[1] == "deployment/podinfo is not paused as before"
    after = _deployment(world)
    assert after["spec"] == before
    assert PAUSED not in after["metadata"]["annotations"]


@pytest.mark.parametrize(("kind", "paused"), [("pause", True), ("resume", False)])
def test_setting_that_is_there_already_is_inconclusive(world: World, kind: str, paused: bool) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"paused": paused}}, NAMESPACE)
    with pytest.raises(Inconclusive, match=f"no-op: deployment/podinfo is already {'' if paused else 'not '}paused"):
        _inject(world.context(), kind, **OF)


def test_resumed_deployment_is_paused_again(world: World) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"paused": True}}, NAMESPACE)
    context = world.context()
    _inject(context, "resume", **OF)
    assert _undo(world, context, 0) == ["deployment/podinfo is paused as before"]
    assert _deployment(world)["spec"]["paused"] is True

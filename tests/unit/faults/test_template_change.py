"""Undoing changes of a pod template: from the revision before, only the fault's own, no template written down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS, REPLICA_SETS
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.common.naming import SYSTEM_NAMESPACE
from harness.faults.bad_rollout import BadRollout
from harness.faults.template_change import MARK, Changes
from tests.fake_world import NAMESPACE, World, deployment
from tests.unit.faults.rolling_out import image_of, roll_out

BAD = "podinfo:bad"


def test_undo_restores_the_whole_pod_template(world: World) -> None:
    before = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["spec"]
    container = {"name": "podinfo", "readinessProbe": {"httpGet": {"path": "/nope", "port": 80}}}
    patch = {"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": [container]}}
    fault, context, _ = roll_out(world, patch=patch)
    after = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["spec"]
    assert after["template"]["spec"]["containers"][0] == {"image": "podinfo:1", **container}
    said = fault.undo(world.cluster, context.journal.entries[0].parameters)
    assert said == "deployment/podinfo was rolled back to the pod template of revision 1"
    assert world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["spec"] == before


def test_undo_skips_a_later_rollout_by_another_user(world: World) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "by:hand"}]
    world.api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="json")
    said = fault.undo(world.cluster, context.journal.entries[0].parameters)
    assert said == "deployment/podinfo is at revision 3: rolled out by another client since, not touched"
    assert image_of(world) == "by:hand"
    assert MARK not in world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["metadata"]["annotations"]


def test_undo_skips_a_rollout_that_replaced_the_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between the journal and the effect: the next rollout is nobody's fault, though its revision is the one
    that the fault's would have had."""
    context = world.context()
    fault = BadRollout(of="deployment/podinfo", image=BAD)
    victims = fault.choose(context)
    monkeypatch.setattr(BadRollout, "_change", _crash)
    with pytest.raises(KeyboardInterrupt):
        fault.inject(context, victims)
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "by:hand"}]
    world.api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="json")
    assert "was never injected" in fault.undo(world.cluster, context.journal.entries[0].parameters)
    assert image_of(world) == "by:hand"


def _crash(*_: object) -> None:
    raise KeyboardInterrupt


def test_undo_detects_a_rollback_by_another_user(world: World) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "podinfo:1"}]
    world.api.patch(DEPLOYMENTS, "podinfo", patch, NAMESPACE, strategy="json")
    said = fault.undo(world.cluster, context.journal.entries[0].parameters)
    assert said == "deployment/podinfo has the pod template of revision 1"
    assert MARK not in world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["metadata"]["annotations"]


def _unseen(world: World) -> None:
    """As if the controller had not got to the last change."""
    world.cluster.server.store.reactors.clear()
    status = {"status": {"observedGeneration": 0}}
    world.api.patch(DEPLOYMENTS, "podinfo", status, NAMESPACE, subresource="status")


def test_undo_of_an_obvious_own_change_needs_no_controller(world: World) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    _unseen(world)
    assert "was rolled back" in fault.undo(world.cluster, context.journal.entries[0].parameters)
    assert image_of(world) == "podinfo:1"


def test_undo_waits_for_the_controller_if_the_author_is_unknown(world: World) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": {"replicas": 4}}, NAMESPACE)
    _unseen(world)
    with pytest.raises(NotYet, match="it is unknown who changed it"):
        fault.undo(world.cluster, context.journal.entries[0].parameters)


def test_undo_overwrites_no_change_made_after_its_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    patch = world.api.patch

    def late(*args: Any, **fields: Any) -> Any:
        patch(DEPLOYMENTS, "podinfo", {"spec": {"template": {"metadata": {"labels": {"by": "hand"}}}}}, NAMESPACE)
        return patch(*args, **fields)

    monkeypatch.setattr(world.api, "patch", late)
    with pytest.raises(NotYet, match="has changed meanwhile"):
        fault.undo(world.cluster, context.journal.entries[0].parameters)
    monkeypatch.undo()
    assert "another client" in fault.undo(world.cluster, context.journal.entries[0].parameters)


def test_undo_without_the_good_replica_set_is_a_failed_undo(world: World) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    parameters = context.journal.entries[0].parameters
    world.cluster.server.store.reactors.clear()
    changes = Changes.of(world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE))
    assert changes is not None
    world.api.delete(REPLICA_SETS, changes.name, NAMESPACE)
    with pytest.raises(HarnessError, match="which kept the pod template of revision 1, is gone"):
        fault.undo(world.cluster, parameters)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"revisionHistoryLimit": 0}, "found revisionHistoryLimit: 0, expected at least 1"),
        ({"paused": True}, "is paused: it would not roll out anything"),
    ],
)
def test_fault_without_an_undo_is_not_injected(world: World, spec: dict[str, Any], said: str) -> None:
    world.api.patch(DEPLOYMENTS, "podinfo", {"spec": spec}, NAMESPACE)
    with pytest.raises(Inconclusive, match=said):
        BadRollout(of="deployment/podinfo", image=BAD).choose(world.context())


def test_template_not_rolled_out_yet_is_refused(world: World) -> None:
    world.cluster.server.store.reactors.clear()
    change = {"spec": {"template": {"metadata": {"labels": {"by": "hand"}}}}}
    world.api.patch(DEPLOYMENTS, "podinfo", change, NAMESPACE)
    with pytest.raises(Inconclusive, match="no ReplicaSet with its current pod template"):
        BadRollout(of="deployment/podinfo", image=BAD).choose(world.context())


def test_change_missing_from_the_journal_is_not_overwritten(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    context = world.context()
    fault = BadRollout(of="deployment/podinfo", image=BAD)
    victims, write = fault.choose(context), context.journal.write

    def late(*args: Any) -> Any:
        change = {"spec": {"template": {"metadata": {"labels": {"by": "hand"}}}}}
        world.api.patch(DEPLOYMENTS, "podinfo", change, NAMESPACE)
        return write(*args)

    monkeypatch.setattr(context.journal, "write", late)
    with pytest.raises(ApiError, match="has been modified"):
        fault.inject(context, victims)
    assert image_of(world) == "podinfo:1"


@pytest.mark.parametrize("how", [{"image": BAD}, {"patch": {"metadata": {"annotations": {"a": "b"}}}}])
def test_no_part_of_the_pod_template_is_in_the_journal(world: World, how: dict[str, Any]) -> None:
    """The journal lies in the run's folder, which CI keeps, and in a ConfigMap."""
    env = [{"name": "LICENCE", "value": "c4n4ry"}]
    containers = {"spec": {"containers": [{"name": "podinfo", "env": env}]}}
    change = {"spec": {"template": containers}}
    world.api.patch(DEPLOYMENTS, "podinfo", change, NAMESPACE, strategy="strategic-merge")
    fault, context, _ = roll_out(world, **how)
    copies = world.cluster.server.store.list(CONFIG_MAPS, SYSTEM_NAMESPACE)
    assert copies
    assert "c4n4ry" not in json.dumps(copies) + world.journal_file.read_text()
    fault.undo(world.cluster, context.journal.entries[0].parameters)
    spec = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["spec"]["template"]["spec"]
    assert spec["containers"] == [{"name": "podinfo", "image": "podinfo:1", "env": env}]


def test_undo_skips_a_replaced_deployment_of_the_same_name(world: World) -> None:
    fault, context, _ = roll_out(world, image=BAD)
    world.api.delete(DEPLOYMENTS, "podinfo", NAMESPACE)
    world.cluster.server.seed(deployment(image="new:1"), namespace=NAMESPACE)
    assert "gone" in fault.undo(world.cluster, context.journal.entries[0].parameters)
    assert image_of(world) == "new:1"


def test_an_undo_that_does_not_take_is_a_failed_undo(world: World) -> None:
    """A controller that puts the bad version back at once: GitOps, an operator."""
    fault, context, _ = roll_out(world, image=BAD)

    class Stubborn:
        def react(self, store: Any, change: Any) -> None:
            if change.resource == DEPLOYMENTS and change.object["spec"]["template"] != bad:
                store.update(
                    DEPLOYMENTS, NAMESPACE, "podinfo", lambda item: {**item, "spec": {**item["spec"], "template": bad}}
                )

    bad = world.api.get(DEPLOYMENTS, "podinfo", NAMESPACE)["spec"]["template"]
    world.cluster.server.store.reactors.append(Stubborn())
    with pytest.raises(HarnessError, match="does not have the pod template that was restored"):
        fault.undo(world.cluster, context.journal.entries[0].parameters)

"""Killing pods."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.cluster.fake_server import Call
from harness.cluster.resources import PODS
from harness.errors import ApiError, Inconclusive
from harness.faults.pod_kill import PodKill
from tests.fake_world import NAMESPACE, World


def _deletions(world: World) -> list[Call]:
    return [call for call in world.cluster.server.calls if call.method == "DELETE" and "/pods/" in call.path]


def test_the_pod_with_the_chosen_uid_is_deleted_and_no_other(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo")
    (victim,) = fault.choose(context)
    fault.inject(context, (victim,))
    (deletion,) = _deletions(world)
    assert deletion.path.endswith(f"/{victim.name}")
    assert deletion.body["preconditions"] == {"uid": victim.uid}
    assert set(world.pods()) - {victim.name} == set(world.pods())


def test_nothing_stands_between_one_deletion_and_the_next(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo", count="all")
    fault.inject(context, fault.choose(context))
    assert [call.method for call in world.cluster.server.calls[-3:]] == ["DELETE"] * 3


@pytest.mark.parametrize(("given", "sent"), [("0s", 0), (5, 5), ("1m", 60), (None, None)])
def test_the_grace_period_is_sent_in_seconds_or_left_to_the_pod(world: World, given: object, sent: int | None) -> None:
    context = world.context()
    fault = PodKill.model_validate({"selector": "app=podinfo", "gracePeriod": given})
    fault.inject(context, fault.choose(context))
    assert _deletions(world)[0].body.get("gracePeriodSeconds") == sent


@pytest.mark.parametrize("given", ["500ms", 1.5, -1, "soon"])
def test_a_grace_period_that_the_api_cannot_take_is_refused(given: object) -> None:
    with pytest.raises(ValidationError):
        PodKill.model_validate({"selector": "app=podinfo", "gracePeriod": given})


def test_a_pod_that_left_by_itself_proves_nothing(world: World) -> None:
    """Its absence would look like evidence."""
    context = world.context()
    fault = PodKill(selector="app=podinfo", count=2)
    first, second = fault.choose(context)
    world.api.delete(PODS, first.name, NAMESPACE)
    with pytest.raises(Inconclusive, match=f"{first.name} had left by itself"):
        fault.inject(context, (first, second))
    assert second.name not in world.pods(), "the others are killed all the same"


def test_a_refused_deletion_is_an_error(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo")
    victims = fault.choose(context)
    world.cluster.server.fail_next(403, "Forbidden", method="DELETE")
    with pytest.raises(ApiError, match="Forbidden"):
        fault.inject(context, victims)


def test_a_pod_that_lingers_in_termination_was_hit(world: World) -> None:
    world.cluster.server.store.reactors.remove(world.kubelet)
    context = world.context()
    fault = PodKill(selector="app=podinfo")
    victims = fault.choose(context)
    fault.inject(context, victims)
    evidence = fault.evidence(context, victims)
    assert evidence.proven
    assert "terminating since" in evidence.text


def test_one_survivor_among_the_victims_is_no_proof(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo", count=2)
    first, second = fault.choose(context)
    fault.inject(context, (first,))
    evidence = fault.evidence(context, (first, second))
    assert not evidence.proven
    assert f"{second.name} (uid {second.uid}) is still there" in evidence.text


def test_a_stateful_pod_that_came_back_under_its_name_was_hit(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo")
    (victim,) = fault.choose(context)
    fault.inject(context, (victim,))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": victim.name}, "spec": {"containers": []}}
    world.cluster.server.seed(pod | {"status": {"phase": "Running"}}, namespace=NAMESPACE)
    evidence = fault.evidence(context, (victim,))
    assert evidence.proven
    assert "another pod of that name came" in evidence.text


def test_undo_tells_what_became_of_each_pod(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo", count=2)
    first, second = fault.choose(context)
    fault.write_undo(context, (first, second), "kill")
    world.api.delete(PODS, first.name, NAMESPACE)
    said = PodKill.undo(world.cluster, context.journal.entries[0].parameters)
    assert f"{first.name} is gone" in said
    assert f"{second.name} was not hit" in said

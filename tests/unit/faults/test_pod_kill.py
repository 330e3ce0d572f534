"""Killing pods."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.cluster.fake.server import Call
from harness.cluster.kube.resources import PODS
from harness.common.clock import iso
from harness.common.errors import ApiError, Inconclusive
from harness.faults.departure import fate
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


def test_deletions_follow_each_other_without_delay(world: World) -> None:
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


def test_pod_that_ended_by_itself_is_no_evidence(world: World) -> None:
    """Its absence would look like evidence."""
    context = world.context()
    fault = PodKill(selector="app=podinfo", count=2)
    first, second = fault.choose(context)
    world.api.delete(PODS, first.name, NAMESPACE)
    with pytest.raises(Inconclusive, match=f"{first.name} disappeared before it could be killed"):
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


def test_victims_that_still_shut_down_are_unfinished(world: World) -> None:
    world.cluster.server.store.reactors.remove(world.kubelet)
    context = world.context()
    fault = PodKill.model_validate({"selector": "app=podinfo", "count": 2, "gracePeriod": "20s"})
    first, second = fault.choose(context)
    fault.inject(context, (first, second))
    ended = {"phase": "Succeeded"}
    world.cluster.server.store.update(PODS, NAMESPACE, second.name, lambda pod: {**pod, "status": ended}, "status")
    said = fault.unfinished(context, (first, second))
    assert said == f"pod/{first.name} is still terminating (grace period 20 s)", (
        "the other waits for a finalizer at most"
    )
    world.cluster.server.store.remove(PODS, NAMESPACE, first.name)
    assert fault.unfinished(context, (first, second)) == ""


def test_journal_names_the_controller_that_replaces_the_pod(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo")
    fault.inject(context, fault.choose(context))
    (entry,) = context.journal.entries
    assert "nothing to undo, replacing a deleted pod is up to its controller (deployment/podinfo)" in entry.description


def test_evidence_is_never_in_the_future() -> None:
    """deletionTimestamp is the request plus the grace period."""
    meta = {"uid": "u", "deletionTimestamp": "2026-11-23T07:31:00Z", "deletionGracePeriodSeconds": 30}
    assert fate({"metadata": meta}, "u") == (
        "is terminating since 2026-11-23T07:30:30.000Z, to be gone by 2026-11-23T07:31:00Z"
    )
    assert fate({"metadata": {"uid": "u"}}, "u") == ""


def test_a_pod_with_a_grace_period_is_terminating_since_now(world: World) -> None:
    world.cluster.server.store.reactors.remove(world.kubelet)
    context = world.context()
    fault = PodKill(selector="app=podinfo", gracePeriod="20s")
    victims = fault.choose(context)
    asked = iso(world.clock.wall()).partition(".")[0]
    fault.inject(context, victims)
    assert f"terminating since {asked}" in fault.evidence(context, victims).text


def test_one_survivor_among_the_victims_is_no_proof(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo", count=2)
    first, second = fault.choose(context)
    fault.inject(context, (first,))
    evidence = fault.evidence(context, (first, second))
    assert not evidence.proven
    assert f"{second.name} (uid {second.uid}) is still there" in evidence.text


def test_recreated_stateful_pod_counts_as_hit(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo")
    (victim,) = fault.choose(context)
    fault.inject(context, (victim,))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": victim.name}, "spec": {"containers": []}}
    world.cluster.server.seed(pod | {"status": {"phase": "Running"}}, namespace=NAMESPACE)
    evidence = fault.evidence(context, (victim,))
    assert evidence.proven
    assert "another pod of that name came" in evidence.text


def test_undo_reports_the_state_of_each_pod(world: World) -> None:
    context = world.context()
    fault = PodKill(selector="app=podinfo", count=2)
    first, second = fault.choose(context)
    fault.write_undo(context, (first, second), "kill")
    world.api.delete(PODS, first.name, NAMESPACE)
    said = PodKill.undo(world.cluster, context.journal.entries[0].parameters)
    assert f"{first.name} is gone" in said
    assert f"{second.name} was not hit" in said

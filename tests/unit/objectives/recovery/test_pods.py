"""What one watch event of a pod says of it, and what two of them say of what happened between."""

from __future__ import annotations

import pytest

from harness.model.timeline import Observation, Victim
from harness.objectives.recovery.gaps import states_lost, watch_open_ended
from harness.objectives.recovery.pods import PodSample, pods_of, victims
from tests.unit.timelines import PODINFO, WALL, Story


def pod(**value: object) -> PodSample:
    """One event of a pod with two containers, ready since 4 s."""
    containers = {"app": {"id": "a1", "restarts": 0}, "proxy": {"id": "p1", "restarts": 0}}
    whole = {"uid": "u", "owner": PODINFO, "event": "MODIFIED", "ready": True, "ready_since": WALL + 4}
    story = Story()
    story.timeline.add(Observation("pods", "podinfo-u", 5.0, {**whole, "containers": containers, **value}))
    (found,) = pods_of(story.timeline, PODINFO)
    return found


def with_container(**state: object) -> PodSample:
    """The same with the application's container in another state."""
    return pod(containers={"app": {"id": "a1", "restarts": 0, **state}, "proxy": {"id": "p1", "restarts": 0}})


def test_a_healthy_pod_is_alive_and_ready_since_its_condition() -> None:
    assert (pod().alive, pod().ready, pod().gone, pod().since) == (True, True, False, 4.0)


@pytest.mark.parametrize(
    "value", [{"event": "DELETED"}, {"deleting": True}, {"phase": "Failed"}, {"phase": "Succeeded"}]
)
def test_terminating_pod_is_not_ready_whatever_its_condition(value: dict[str, object]) -> None:
    """A pod that is being deleted may stay Ready until its containers have stopped."""
    seen = pod(**value)
    assert (seen.alive, seen.ready) == (False, False)
    assert seen.impaired_since(pod())


def test_only_a_deletion_removes_a_pod() -> None:
    assert pod(event="DELETED").gone
    assert not pod(deleting=True).gone


@pytest.mark.parametrize(
    ("state", "restarted"),
    [
        ({}, False),
        ({"id": "a2"}, True),
        ({"restarts": 1}, True),
        ({"id": "a2", "restarts": 1}, True),
        ({"id": ""}, False),
        ({"id": None, "restarts": None}, False),
    ],
)
def test_one_replaced_container_of_two_is_a_restart(state: dict[str, object], restarted: bool) -> None:
    """By its id or its count; a container that is not there yet has no id, and is no replacement."""
    assert with_container(**state).restarted_since(pod()) is restarted
    assert with_container(**state).impaired_since(pod()) is restarted


def test_a_container_that_had_no_id_before_was_not_replaced() -> None:
    assert not pod().restarted_since(with_container(id=""))


def test_losing_readiness_is_an_impairment_and_never_ready_not() -> None:
    assert pod(ready=False).impaired_since(pod())
    assert not pod(ready=False).impaired_since(pod(ready=False))
    assert not pod().impaired_since(pod())


def test_errors_and_empty_values_are_no_events() -> None:
    story = Story().pod(1.0, "podinfo-a", "a").error("pods", "podinfo-a", 2.0, "lost", {"owner": PODINFO, "uid": "a"})
    story.add("pods", "podinfo-a", 3.0, None)
    assert [seen.at for seen in pods_of(story.timeline, PODINFO)] == [1.0]


def test_victims_are_those_of_all_faults() -> None:
    story = Story().injected(10.0, ("podinfo-a", "a")).injected(12.0, ("podinfo-b", "b"), ("podinfo-c", "c"))
    assert set(victims(story.timeline)) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("story", "lost", "open_ended"),
    [
        (Story(), False, False),
        (Story().gap("pods", 8.0, 9.0, complete=False), False, False),
        (Story().gap("pods", 8.0, 10.0, complete=False), True, False),
        (Story().gap("pods", 11.0, 12.0, complete=False), True, False),
        (Story().gap("pods", 11.0, 12.0), False, False),
        (Story().gap("pods", 11.0), True, True),
        (Story().gap("pods", 8.0), True, True),
        (Story().gap("pods", 11.0, 12.0).gap("pods", 13.0), True, True),
        (Story().gap("pods", 11.0).gap("pods", 12.0, 13.0), True, True),
        (Story().error("pods", "", 11.0, "forbidden"), True, True),
        (Story().gap("endpoints", 11.0), False, False),
    ],
)
def test_a_gap_hides_states_when_it_is_open_or_incomplete(story: Story, lost: bool, open_ended: bool) -> None:
    """Asked for what happened from 10 s on. Two watches may write to one series, so gaps are counted."""
    assert states_lost(story.timeline, "pods", 10.0) is lost
    assert watch_open_ended(story.timeline, "pods") is open_ended


NODE = Victim("Node", "node-2", "n2")
DEPLOYMENT = Victim("Deployment", "podinfo", "d")


def test_the_pods_on_a_node_are_victims_of_its_fault() -> None:
    story = Story().pod(1.0, "podinfo-a", "a", node="node-1").pod(1.0, "podinfo-b", "b", node="node-2")
    story.pod(2.0, "podinfo-x", "x", node="node-2").gone(5.0, "podinfo-x", "x").struck(NODE)
    story.pod(20.0, "podinfo-c", "c", node="node-2")
    assert set(victims(story.timeline)) == {"b"}


def test_pods_that_a_changed_workload_removes_are_victims() -> None:
    """Scaled down, it takes pods away that were there before; those that it keeps are not hit."""
    story = Story().pod(1.0, "podinfo-a", "a").pod(1.0, "podinfo-b", "b").pod(1.0, "podinfo-c", "c")
    story.pod(1.0, "other-x", "x", owner="deployment/other").struck(DEPLOYMENT, undone=20.0)
    story.gone(10.5, "podinfo-b", "b").pod(11.0, "podinfo-c", "c", deleting=True)
    story.gone(11.5, "other-x", "x", owner="deployment/other")
    assert set(victims(story.timeline)) == {"b", "c"}


def test_pods_leaving_before_fault_or_after_undo_are_no_victims() -> None:
    story = Story().pod(1.0, "podinfo-a", "a").pod(1.0, "podinfo-b", "b").pod(9.0, "podinfo-a", "a", deleting=True)
    story.struck(DEPLOYMENT, undone=20.0).gone(11.0, "podinfo-a", "a").gone(21.0, "podinfo-b", "b")
    assert set(victims(story.timeline)) == set()


def test_pods_of_other_victim_kinds_are_not_hit() -> None:
    story = Story().pod(1.0, "podinfo-a", "a").struck(Victim("Service", "podinfo", "s")).gone(11.0, "podinfo-a", "a")
    assert set(victims(story.timeline)) == set()


def test_a_changed_workload_has_the_pods_it_made_as_victims() -> None:
    """Those from before go on serving: that they are spared is what a rollout promises."""
    story = Story().pod(1.0, "podinfo-a", "a").struck(DEPLOYMENT)
    story.pod(11.0, "podinfo-b", "b", False).pod(12.0, "other-x", "x", owner="deployment/other")
    assert set(victims(story.timeline)) == {"b"}

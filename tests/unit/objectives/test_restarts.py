"""Restarts: counted per pod UID from the fault on."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from harness.objectives.restarts import Restarts
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def hung(victim: int = 1, sibling: int = 0, before: int = 0) -> Story:
    """Pod a hangs at 10 s; how often a and b were restarted afterwards, and before."""
    story = Story().pod(1.0, "podinfo-a", "a", restarts=before).pod(1.0, "podinfo-b", "b", restarts=before)
    story.injected(10.0, ("podinfo-a", "a"))
    for count in range(1, victim + 1):
        story.pod(15.0 + count, "podinfo-a", "a", restarts=before + count)
    return story.pod(20.0, "podinfo-b", "b", restarts=before + sibling)


def judge(story: Story, **fields: object) -> tuple[Verdict, str]:
    finding = Restarts(of=PODINFO, **fields).judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("count", "verdict"), [(0, BROKEN), (1, HELD), (2, HELD), (3, BROKEN)])
def test_restarts_lie_between_the_bounds(count: int, verdict: Verdict) -> None:
    assert judge(hung(count), min=1, max=2)[0] is verdict


@pytest.mark.parametrize(("fields", "verdict"), [({"min": 2}, BROKEN), ({"min": 1}, HELD), ({"max": 0}, BROKEN)])
def test_one_bound_is_enough(fields: dict[str, int], verdict: Verdict) -> None:
    assert judge(hung(1), **fields)[0] is verdict


def test_restarts_before_the_fault_are_not_its_doing() -> None:
    assert judge(hung(before=7), min=1, max=1) == (HELD, "1 container restart, 1 required")


def test_a_new_pod_counts_from_zero() -> None:
    story = hung(0).pod(12.0, "podinfo-d", "d").pod(30.0, "podinfo-d", "d", restarts=2)
    assert judge(story, max=1)[0] is BROKEN


def test_siblings_must_not_restart_when_only_victims_may() -> None:
    verdict, reason = judge(hung(1, sibling=1), only_victims=True)
    assert (verdict, reason) == (BROKEN, "pods that are not victims restarted: podinfo-b")
    assert judge(hung(1), onlyVictims=True)[0] is HELD


def test_other_workloads_are_none_of_it() -> None:
    story = hung(1).pod(1.0, "x", "x", owner="deployment/x").pod(20.0, "x", "x", owner="deployment/x", restarts=4)
    assert judge(story, max=1, only_victims=True)[0] is HELD


@pytest.mark.parametrize(
    "story", [Story(), Story().injected(10.0), Story().pod(1.0, "podinfo-a", "a"), hung(1).gap("pods", 30.0)]
)
def test_missing_data_is_inconclusive(story: Story) -> None:
    assert judge(story, min=1, max=1)[0] is INCONCLUSIVE


@pytest.mark.parametrize(("restarts", "verdict"), [(0, HELD), (1, BROKEN)])
def test_maximum_needs_no_fault(restarts: int, verdict: Verdict) -> None:
    story = Story().pod(1.0, "podinfo-a", "a").pod(20.0, "podinfo-a", "a", restarts=restarts)
    assert judge(story, max=0)[0] is verdict
    assert judge(story, max=0, min=0, onlyVictims=True)[0] is INCONCLUSIVE


def test_excess_restarts_stay_broken_after_a_watch_gap() -> None:
    assert judge(hung(3).gap("pods", 30.0), max=2)[0] is BROKEN


@pytest.mark.parametrize("fields", [{"max": 1}, {"min": 2}, {"only_victims": True}])
def test_missing_states_may_hide_restarts(fields: dict[str, object]) -> None:
    """A pod that came, restarted and went within a gap is in no list; where only times are missing, all were seen."""
    assert judge(hung(1).gap("pods", 30.0, 31.0, complete=False), **fields)[0] is INCONCLUSIVE
    assert judge(hung(1).gap("pods", 30.0, 31.0), **fields) == judge(hung(1), **fields)
    assert judge(hung(1).gap("pods", 5.0, 6.0, complete=False), **fields) == judge(hung(1), **fields)


def test_observed_sibling_restart_counts_after_a_broken_watch() -> None:
    assert judge(hung(1, sibling=1).gap("pods", 30.0), only_victims=True)[0] is BROKEN


def test_the_recovery_phase_is_pending_until_there_are_enough() -> None:
    objective = Restarts(of=PODINFO, min=1)
    assert objective.pending(hung(0).timeline) == "deployment/podinfo had 0 restarts, at least 1 required"
    assert objective.pending(hung(1).timeline) == ""
    assert Restarts(of=PODINFO, max=1).pending(hung(0).timeline) == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"of": PODINFO}, "found no requirement"),
        ({"of": PODINFO, "min": 3, "max": 2}, "found min: 3 above max: 2"),
        ({"of": PODINFO, "min": -1}, "greater than or equal to 0"),
        ({"of": "podinfo", "min": 1}, "found 'podinfo'"),
        ({"min": 1}, "Field required"),
    ],
)
def test_impossible_parameters_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Restarts(**fields)


def test_restarts_on_a_node_that_was_hit_are_its_victims_own() -> None:
    story = Story().pod(1.0, "podinfo-a", "a", node="node-1").pod(1.0, "podinfo-b", "b", node="node-2")
    story.struck(Victim("Node", "node-2", "n2")).pod(20.0, "podinfo-b", "b", restarts=1, node="node-2")
    assert judge(story, onlyVictims=True)[0] is HELD
    assert judge(story.pod(21.0, "podinfo-a", "a", restarts=1), onlyVictims=True)[0] is BROKEN


def test_pods_of_a_bad_rollout_may_restart_and_the_others_not() -> None:
    story = Story().pod(1.0, "podinfo-a", "a").struck(Victim("Deployment", "podinfo", "d"), undone=30.0)
    story.pod(11.0, "podinfo-b", "b", False).pod(15.0, "podinfo-b", "b", False, restarts=3)
    assert judge(story, onlyVictims=True)[0] is HELD
    assert judge(story.pod(16.0, "podinfo-a", "a", restarts=1), onlyVictims=True)[0] is BROKEN


def test_restarts_of_a_pod_that_scaling_down_removes_are_its_own() -> None:
    """Its container may exit with an error and be restarted once more while the pod is being terminated."""
    story = Story().pod(1.0, "podinfo-a", "a").pod(1.0, "podinfo-b", "b")
    story.struck(Victim("Deployment", "podinfo", "d"), undone=30.0)
    story.pod(11.0, "podinfo-b", "b", deleting=True, restarts=1).gone(12.0, "podinfo-b", "b")
    assert judge(story, onlyVictims=True)[0] is HELD
    assert judge(story.pod(16.0, "podinfo-a", "a", restarts=1), onlyVictims=True)[0] is BROKEN


def test_workload_without_pods_cannot_restart() -> None:
    story = Story().pod(1.0, "podinfo-a", "a").gone(5.0, "podinfo-a", "a").injected(10.0)
    verdict, reason = judge(story, max=0)
    assert verdict is INCONCLUSIVE
    assert "no pod of deployment/podinfo existed after the fault" in reason
    killed = Story().pod(1.0, "podinfo-a", "a").injected(10.0, ("podinfo-a", "a")).gone(10.2, "podinfo-a", "a")
    assert judge(killed, onlyVictims=True)[0] is INCONCLUSIVE


def test_containers_that_were_not_reported_were_not_counted() -> None:
    """A kubelet that has written no status has not said that nothing restarted."""
    new = {"event": "ADDED", "uid": "b", "owner": PODINFO, "containers": {}}
    story = Story().pod(1.0, "podinfo-a", "a").injected(10.0).add("pods", "podinfo-b", 12.0, new)
    assert judge(story, max=0)[0] is HELD  # no node runs it yet
    story.add("pods", "podinfo-b", 13.0, new | {"node": "node-1"})
    verdict, reason = judge(story, max=0)
    assert verdict is INCONCLUSIVE
    assert "podinfo-b" in reason
    assert judge(story.pod(14.0, "podinfo-b", "b"), max=0)[0] is HELD

"""A bad rollout halts, and a rollback brings the former template back."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.timeline import Injection, Interval, Victim
from harness.model.verdict import Verdict
from harness.objectives.rolled_back import RolledBack
from harness.objectives.rollout_halts import RolloutHalts
from tests.unit.timelines import ETCD, PODINFO, WALL, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def seen(
    story: Story,
    at: float,
    *,
    template: str = "good",
    total: int = 3,
    available: int = 3,
    updated: int = 3,
    exceeded: float | None = None,
    generation: int = 1,
    observed: int = 1,
) -> Story:
    """The Deployment as the watch tells it; ``exceeded`` is when its deadline passed."""
    conditions = {"Progressing": {"status": "True", "reason": "NewReplicaSetAvailable", "since": WALL}}
    if exceeded is not None:
        conditions = {
            "Progressing": {"status": "False", "reason": "ProgressDeadlineExceeded", "since": WALL + exceeded}
        }
    value = {
        "uid": "d",
        "desired": 3,
        "replicas": total,
        "ready": available,
        "available": available,
        "updated": updated,
        "generation": generation,
        "observed_generation": observed,
        "template": template,
        "conditions": conditions,
    }
    return story.add("workloads", PODINFO, at, value)


def bad_rollout(reported: float | None = 22.0, least: int = 3, most: int = 4, back: float | None = 33.0) -> Story:
    """A bad template at 10 s, undone at 30 s."""
    story = seen(Story(fault=20), 1.0).injected(10.0, undone=30.0)
    seen(story, 10.2, template="bad", generation=2, updated=0)
    seen(story, 10.5, template="bad", generation=2, observed=2, updated=1, total=most, available=least)
    if reported is not None:
        seen(story, reported, template="bad", total=most, available=least, updated=1, exceeded=reported - 0.5)
    seen(story, 30.1, total=most, available=least, updated=3, generation=3, observed=2)
    if back is not None:
        seen(story, back, generation=3, observed=3)
    return story


def halts(story: Story, **fields: object) -> tuple[Verdict, str]:
    finding = RolloutHalts(of=PODINFO, **({"within": "15s", "minAvailable": 3, "maxTotal": 4} | fields)).judge(
        story.timeline
    )
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("limit", "verdict"), [("12s", HELD), ("11.7s", INCONCLUSIVE), ("11s", BROKEN)])
def test_deadline_time_is_bounded_by_condition_and_arrival(limit: str, verdict: Verdict) -> None:
    assert halts(bad_rollout(), within=limit)[0] is verdict


def on_time(deadline: int | None = 8, progressed: float | None = 11.0, reported: float = 19.0) -> Story:
    """A bad template at 10 s, whose rollout last made progress at 11 s, and whose condition is of 19 s."""
    story = seen(Story(fault=20), 1.0).injected(10.0, undone=30.0)
    for at, since, status in ((11.2, progressed, "True"), (19.4, None, "False")):
        reason = "ReplicaSetUpdated" if status == "True" else "ProgressDeadlineExceeded"
        conditions = {"Progressing": {"status": status, "reason": reason, "since": WALL + reported}}
        value = {"uid": "d", "available": 3, "replicas": 4, "conditions": conditions, "template": "bad"}
        value |= {"deadline": deadline, "progressed": None if since is None else WALL + since}
        story.add("workloads", PODINFO, at, value)
    return story


@pytest.mark.parametrize(
    ("story", "verdict", "reason"),
    [
        (on_time(), HELD, "progressDeadlineSeconds: 8) 8 s to 9 s after its last progress, at most 10 s was allowed"),
        (on_time(reported=20.0), HELD, "9 s to 10 s after its last progress"),
        (on_time(reported=21.0), INCONCLUSIVE, "10 s to 11 s after its last progress"),
        (on_time(reported=22.0), BROKEN, "11 s to 12 s after its last progress, at most 10 s was allowed"),
        (on_time(deadline=12), BROKEN, "9 s after its last progress at the latest, before its deadline"),
        (on_time(deadline=None), INCONCLUSIVE, "was not observed"),
        (on_time(progressed=None), INCONCLUSIVE, "was not observed"),
        (on_time().gap("workloads", 12.0, 13.0, complete=False), INCONCLUSIVE, "was not observed"),
    ],
)
def test_tolerance_counts_from_the_last_progress(story: Story, verdict: Verdict, reason: str) -> None:
    found, why = halts(story, tolerance="2s", minAvailable=None, maxTotal=None)
    assert found is verdict, why
    assert reason in why


def test_tolerance_is_not_judged_without_a_report() -> None:
    assert halts(bad_rollout(reported=None), tolerance="2s")[0] is BROKEN
    assert "its last progress" not in halts(bad_rollout(reported=None), tolerance="2s")[1]


@pytest.mark.parametrize(
    ("story", "verdict", "reason"),
    [
        (bad_rollout(least=2), BROKEN, "2 replicas available at 10.5 s, at least 3 required"),
        (bad_rollout(most=5), BROKEN, "5 replicas in total at 10.5 s, at most 4 allowed"),
        (bad_rollout(), HELD, "reported ProgressDeadlineExceeded"),
    ],
)
def test_serving_pods_keep_serving_at_every_observation(story: Story, verdict: Verdict, reason: str) -> None:
    found, why = halts(story)
    assert found is verdict
    assert reason in why


def test_changes_after_the_undo_are_not_due_to_the_rollout() -> None:
    assert halts(seen(bad_rollout(), 31.0, available=0))[0] is HELD


def test_the_state_at_the_injection_counts() -> None:
    story = seen(Story(fault=20), 1.0, available=2).injected(10.0)
    seen(story, 12.0, template="bad", exceeded=11.0)
    assert halts(story)[0] is BROKEN


def test_deadline_never_reported_is_broken_after_enough_time() -> None:
    """20 s lie between the injection and the undo."""
    assert halts(bad_rollout(reported=None), within="15s")[0] is BROKEN
    assert halts(bad_rollout(reported=None), within="25s")[0] is INCONCLUSIVE


def test_completed_rollout_is_reported_as_not_stopped() -> None:
    story = seen(bad_rollout(reported=None), 25.0, template="bad", updated=3)
    assert "all 3 replicas are of the new version, which nothing stopped" in halts(story)[1]


def test_missing_report_names_the_deadline() -> None:
    story = bad_rollout(reported=None)
    value = {"desired": 3, "replicas": 4, "available": 3, "updated": 1, "template": "bad", "deadline": 600}
    story.add("workloads", PODINFO, 25.0, value)
    assert "progressDeadlineSeconds is 600, counted from the last progress" in halts(story)[1]


def test_missing_replicas_are_explained_by_the_strategy() -> None:
    victim = Victim("Deployment", "podinfo", "d", "revision 1, a rollout may take 1 of its pods")
    story = seen(seen(Story(fault=20), 1.0).struck(victim), 12.0, template="bad", available=2, total=4)
    assert "before the fault: revision 1, a rollout may take 1 of its pods" in halts(story)[1]
    assert "before the fault" not in halts(story, minAvailable=2)[1]


def test_condition_from_before_the_fault_is_ignored() -> None:
    story = seen(Story(fault=20), 1.0, exceeded=0.5).injected(10.0)
    seen(story, 11.0, template="bad", exceeded=0.5)
    assert halts(story)[0] is INCONCLUSIVE
    seen(story, 12.0, template="bad")
    seen(story, 20.0, template="bad", exceeded=19.5)
    assert halts(story)[0] is HELD


def test_only_an_exceeded_deadline_is_one() -> None:
    """A rollout that cannot make ReplicaSets is not progressing either, and says something else."""
    story = seen(Story(fault=20), 1.0).injected(10.0)
    for at, status, reason in ((12.0, "False", "ReplicaSetCreateError"), (13.0, "True", "ProgressDeadlineExceeded")):
        value = {"available": 3, "replicas": 3, "conditions": {"Progressing": {"status": status, "reason": reason}}}
        story.add("workloads", PODINFO, at, value)
    assert halts(story)[0] is BROKEN


def test_first_of_several_undos_ends_the_observation() -> None:
    story = bad_rollout(reported=29.0).injected(11.0, undone=25.0)
    assert halts(story, within="10s") == halts(bad_rollout(reported=None).injected(11.0, undone=25.0), within="10s")


@pytest.mark.parametrize(
    "story",
    [
        Story(),
        Story().injected(10.0),
        seen(Story(), 1.0).injected(10.0),
        bad_rollout().gap("workloads", 12.0, 13.0, complete=False),
        bad_rollout(reported=None).gap("workloads", 12.0),
    ],
)
def test_missing_data_never_holds(story: Story) -> None:
    assert halts(story)[0] is INCONCLUSIVE


def back(story: Story, limit: str = "10s") -> tuple[Verdict, str]:
    finding = RolledBack(of=PODINFO, within=limit).judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("limit", "verdict"), [("3s", HELD), ("2.95s", INCONCLUSIVE), ("2.5s", BROKEN)])
def test_the_former_template_is_complete_again_in_time(limit: str, verdict: Verdict) -> None:
    """Back at 33 s after an undo from 30.0 s to 30.1 s."""
    assert back(bad_rollout(), limit)[0] is verdict


@pytest.mark.parametrize(
    "half_way",
    [
        {"template": "bad"},
        {"updated": 2},
        {"available": 2},
        {"total": 4},
        {"generation": 3, "observed": 2},
    ],
)
def test_anything_less_is_not_complete(half_way: dict[str, object]) -> None:
    assert back(seen(bad_rollout(back=None), 33.0, **half_way))[0] is BROKEN


def test_complete_and_disturbed_again_counts_from_the_last_time() -> None:
    story = seen(bad_rollout(), 35.0, available=2)
    assert back(story)[0] is BROKEN
    finding = RolledBack(of=PODINFO, within="10s").judge(seen(story, 38.0).timeline)
    assert (finding.verdict, finding.observed) == (HELD, 8.0)


def test_missing_rollback_is_broken_only_after_a_full_watch() -> None:
    """35 s of watching follow the undo."""
    assert back(bad_rollout(back=None), "34s")[0] is BROKEN
    assert back(bad_rollout(back=None), "36s")[0] is INCONCLUSIVE


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story(), "no fault was injected"),
        (seen(Story(), 1.0).injected(10.0), "was not undone"),
        (Story().injected(10.0, undone=20.0), "was not observed before"),
        (seen(seen(Story(), 1.0).injected(10.0, undone=20.0), 21.0), "nothing to roll back"),
        (bad_rollout(back=None).gap("workloads", 32.0), "was interrupted before"),
    ],
)
def test_without_data_no_rollback_is_held(story: Story, reason: str) -> None:
    verdict, why = back(story)
    assert verdict is INCONCLUSIVE
    assert reason in why


@pytest.mark.parametrize("ended", [None, 54.9])
def test_rollback_followed_by_missing_states_is_inconclusive(ended: float | None) -> None:
    """One that was too slow already stays so, and one that a relist told is seen at its instant."""
    story = bad_rollout().gap("workloads", 50.1, ended, complete=False)
    verdict, why = back(story)
    assert verdict is INCONCLUSIVE
    assert "a later disruption may have been missed" in why
    assert back(story, "2.5s")[0] is BROKEN
    assert back(bad_rollout().gap("workloads", 50.1, 54.9))[0] is HELD
    assert back(bad_rollout().gap("workloads", 32.0, 33.0, complete=False))[0] is HELD


def rolled_back(back: float | None = 25.0, of: str = PODINFO, undone: float = 30.0) -> Story:
    """A bad template at 10 s, a rollback at 22 s, both undone at 30 s."""
    story = bad_rollout(back=31.0)
    victim = Victim("Deployment", of.partition("/")[2], "d")
    undo = Interval(undone, undone + 0.1)
    injection = Injection("rollback", (victim,), Interval(22.0, 22.1), undo, proven=True, evidence="seen", moment=1)
    story.timeline.injections.append(injection)
    seen(story, 22.5, template="good", generation=3, observed=2)
    if back is not None:
        seen(story, back, generation=3, observed=3)
    return story


def since_rollback(story: Story, limit: str) -> tuple[Verdict, str]:
    # As on a real cluster: the observations of one subject are in order.
    story.timeline._observations.sort(key=lambda one: one.at)
    finding = RolledBack(of=PODINFO, within=limit, since="rollback").judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("limit", "verdict"), [("3s", HELD), ("2.95s", INCONCLUSIVE), ("2.5s", BROKEN)])
def test_time_to_roll_back_counts_from_the_rollback(limit: str, verdict: Verdict) -> None:
    assert since_rollback(rolled_back(), limit)[0] is verdict


def test_fault_phase_waits_for_the_rollback() -> None:
    objective = RolledBack(of=PODINFO, within="9s", since="rollback")
    half_way = seen(bad_rollout(back=None), 31.0, available=2).timeline
    assert "not yet complete" in objective.awaits(half_way)
    assert RolledBack(of=PODINFO, within="9s").awaits(half_way) == ""


def test_what_the_undo_repairs_was_not_rolled_back() -> None:
    verdict, why = since_rollback(rolled_back(back=None), "7s")
    assert verdict is BROKEN
    assert "not observed in the 7.9 s after the rollback" in why
    assert since_rollback(rolled_back(back=None), "8s")[0] is INCONCLUSIVE


def test_rollback_of_another_workload_does_not_count() -> None:
    verdict, why = since_rollback(rolled_back(of="deployment/other"), "9s")
    assert (verdict, why) == (INCONCLUSIVE, "deployment/podinfo was not rolled back by a fault `rollback`")


@pytest.mark.parametrize(
    ("changes", "advised"),
    [({}, True), ({"ready": True}, False), ({"labels": {"controller-revision-hash": "etcd-1"}}, False)],
)
def test_stuck_stateful_set_gets_advice(changes: dict[str, Any], advised: bool) -> None:
    story = Story(fault=20).struck(Victim("StatefulSet", "etcd", "s"), 10.0, undone=30.0)
    counts = {"desired": 3, "replicas": 3, "ready": 2, "available": 2, "updated": 2}
    value = counts | {"generation": 1, "observed_generation": 1, "revision": "etcd-1", "conditions": {}}
    story.add("workloads", ETCD, 1.0, value | {"template": "good"})
    story.add("workloads", ETCD, 11.0, value | {"template": "bad"})
    story.add("workloads", ETCD, 30.2, value | {"template": "good"})
    story.pod(
        12.0,
        "etcd-2",
        "p",
        **({"owner": ETCD, "ready": False, "labels": {"controller-revision-hash": "etcd-2"}} | changes),
    )
    finding = RolledBack(of=ETCD, within="10s").judge(story.timeline)
    assert finding.verdict is BROKEN
    assert ("run `kubectl delete pod etcd-2`, or use podManagementPolicy: Parallel" in finding.reason) is advised


def test_recovery_phase_is_pending_until_the_template_is_back() -> None:
    objective = RolledBack(of=PODINFO, within="10s")
    assert "not yet complete" in objective.pending(bad_rollout(back=None).timeline)
    assert objective.overdue(bad_rollout(back=None).timeline)
    assert not RolledBack(of=PODINFO, within="10m").overdue(bad_rollout(back=None).timeline)
    assert objective.pending(bad_rollout().timeline) == ""
    assert objective.pending(Story().timeline) == ""


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (RolloutHalts, {"of": PODINFO}, "Field required"),
        (RolloutHalts, {"of": "statefulset/etcd", "within": "9s"}, "expected deployment/NAME"),
        (RolloutHalts, {"of": PODINFO, "within": "9s", "minAvailable": -1}, "greater than or equal to 0"),
        (RolledBack, {"of": PODINFO}, "Field required"),
        (RolledBack, {"of": "podinfo", "within": "9s"}, "found 'podinfo'"),
    ],
)
def test_impossible_parameters_are_refused(kind: type, fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**fields)

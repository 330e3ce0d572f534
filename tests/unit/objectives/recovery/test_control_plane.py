"""The control plane's clock: what it counts as seen, by UID and owner, and what it does not fall for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.objectives.recovery import Recovery, recoveries
from tests.unit.timelines import ETCD, PODINFO, Story


def clock(story: Story, workload: str = PODINFO, since: str = "injected") -> Recovery:
    (found,) = recoveries(story.timeline, workload, since=since, clocks=["control plane"])
    return found


def test_a_replacement_that_gets_ready_is_the_recovery() -> None:
    """Bounds: the condition's time at the earliest, the watch's arrival at the latest, from a bracketed injection."""
    story = Story().replicas_ready("a", "b", "c").injected(10.0, ("podinfo-a", "a"), took=0.2)
    story.pod(10.3, "podinfo-a", "a", deleting=True)
    story.pod(10.5, "podinfo-d", "d", ready=False)
    story.gone(11.0, "podinfo-a", "a").pod(13.4, "podinfo-d", "d", since=13.0)
    found = clock(story)
    assert found.state == "recovered"
    assert (found.length.low, found.length.high) == pytest.approx((13.0 - 10.2, 13.4 - 10.0))
    assert (found.began, found.ended) == (10.3, 13.4)
    assert "2.8 s to 3.4 s after the fault" in found.reason


def test_a_forced_deletion_shows_only_its_end() -> None:
    """With a grace period of 0 the watch may see nothing of the victim but DELETED."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.gone(10.1, "podinfo-a", "a").pod(10.2, "podinfo-d", "d", ready=False).pod(12.0, "podinfo-d", "d")
    assert clock(story).length.high == pytest.approx(2.0)


def test_healthy_state_before_the_observed_kill_is_no_recovery() -> None:
    """An unrelated event between the call and the victim's deletion must not satisfy the clock at once."""
    story = Story().replicas_ready("a", "b", "c").injected(10.0, ("podinfo-a", "a"))
    story.pod(10.2, "podinfo-b", "b")
    story.gone(11.0, "podinfo-a", "a").pod(15.0, "podinfo-d", "d")
    found = clock(story)
    assert (found.began, found.ended) == (11.0, 15.0)


def test_pod_added_before_its_predecessor_leaves_does_not_count() -> None:
    """Never by order of arrival: a surge pod is ready, yet the second victim is still to go."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"), ("podinfo-b", "b"))
    story.gone(10.1, "podinfo-a", "a").pod(11.0, "podinfo-d", "d")
    story.gone(12.0, "podinfo-b", "b").pod(14.0, "podinfo-e", "e")
    found = clock(story)
    assert found.ended == 14.0


def test_all_replicas_killed_are_back_with_the_last_one() -> None:
    story = Story().replicas_ready("a", "b", "c")
    story.injected(10.0, ("podinfo-a", "a"), ("podinfo-b", "b"), ("podinfo-c", "c"))
    for at, uid in ((10.1, "a"), (10.2, "b"), (10.3, "c")):
        story.gone(at, f"podinfo-{uid}", uid)
    for at, uid in ((12.0, "d"), (13.0, "e"), (14.5, "f")):
        story.pod(at, f"podinfo-{uid}", uid)
    found = clock(story)
    assert (found.began, found.ended) == (10.1, 14.5)


def test_restarted_container_recovers_under_the_same_uid() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.pod(11.0, "podinfo-a", "a", ready=False)
    story.pod(12.0, "podinfo-a", "a", ready=False, container="c2", restarts=1)
    story.pod(13.5, "podinfo-a", "a", container="c2", restarts=1, since=13.0)
    found = clock(story)
    assert (found.state, found.began, found.ended) == ("recovered", 11.0, 13.5)


def test_restart_within_one_event_is_detected_by_container_id() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.pod(11.0, "podinfo-a", "a", container="c2", restarts=1)
    found = clock(story)
    assert (found.state, found.length.high) == ("recovered", pytest.approx(1.0))


def test_a_stateful_pod_comes_back_under_its_name_with_a_new_uid() -> None:
    story = Story()
    for number in range(3):
        story.pod(1.0, f"etcd-{number}", f"u{number}", owner=ETCD)
    story.injected(10.0, ("etcd-1", "u1"))
    story.pod(10.1, "etcd-1", "u1", owner=ETCD, deleting=True).gone(11.0, "etcd-1", "u1", owner=ETCD)
    story.pod(11.1, "etcd-1", "v1", owner=ETCD, ready=False).pod(16.0, "etcd-1", "v1", owner=ETCD)
    assert clock(story, ETCD).ended == 16.0


def test_replacement_of_the_same_name_implies_a_missed_deletion() -> None:
    story = Story().pod(1.0, "etcd-0", "old", owner=ETCD).injected(10.0, ("etcd-0", "old"))
    story.pod(12.0, "etcd-0", "new", owner=ETCD, ready=False).pod(13.0, "etcd-0", "new", owner=ETCD)
    found = clock(story, ETCD)
    assert (found.began, found.ended) == (12.0, 13.0)


def test_replacement_ready_at_once_still_implies_a_hit() -> None:
    story = Story().pod(1.0, "etcd-0", "old", owner=ETCD).injected(10.0, ("etcd-0", "old"))
    found = clock(story.pod(13.0, "etcd-0", "new", owner=ETCD), ETCD)
    assert (found.state, found.ended) == ("recovered", 13.0)


def test_pods_of_other_owners_are_none_of_it() -> None:
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a")).gone(10.1, "podinfo-a", "a")
    story.pod(12.0, "cache-0", "x", owner="statefulset/cache").pod(13.0, "podinfo-d", "d")
    assert clock(story).ended == 13.0


def test_missing_recovery_lasts_at_least_the_observed_time() -> None:
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a"), took=0.1).gone(10.2, "podinfo-a", "a")
    found = clock(story)
    assert found.state == "not recovered"
    assert found.length.low == pytest.approx(55 - 10.1)
    assert math.isinf(found.length.high)
    assert found.ended is None


def test_relapse_within_the_settle_time_cancels_the_recovery() -> None:
    """A crash loop's first start is no recovery: the last one counts, and the reason says so."""
    story = Story(settle=5).replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d")
    story.pod(15.0, "podinfo-d", "d", ready=False, restarts=1).pod(20.0, "podinfo-d", "d", restarts=1)
    found = clock(story)
    assert found.ended == 20.0
    assert "2 outages" in found.reason


def test_a_relapse_after_exactly_the_settle_time_still_counts() -> None:
    story = Story(settle=5).replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d")
    assert clock(story.pod(17.0, "podinfo-d", "d", ready=False)).state == "not recovered"


def test_relapse_after_the_settle_time_is_reported_separately() -> None:
    story = Story(settle=5).replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d").pod(17.5, "podinfo-b", "b", ready=False)
    assert clock(story).state == "not recovered"
    found = clock(story.pod(19.0, "podinfo-b", "b"))
    assert (found.state, found.ended) == ("recovered", 12.0)
    assert "1 later outage after" in found.reason


def test_a_relapse_in_the_settle_phase_counts_however_late() -> None:
    """From 50 s on here: the phase is there to see whether the recovery holds."""
    story = Story(settle=5).replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d")
    story.pod(30.0, "podinfo-d", "d", ready=False).pod(31.0, "podinfo-d", "d")
    assert clock(story).ended == 12.0
    story.pod(50.0, "podinfo-d", "d", ready=False).pod(52.0, "podinfo-d", "d")
    assert clock(story).ended == 52.0


def test_healthy_victims_are_not_disrupted_and_not_awaited() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a")).pod(12.0, "podinfo-b", "b")
    assert clock(story).state == "not disrupted"


def test_fault_without_pod_names_is_detected_by_the_ready_count() -> None:
    """A node's loss: the pods on it turn unready."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("node-1", "n1"))
    story.pod(14.0, "podinfo-a", "a", ready=False).pod(30.0, "podinfo-d", "d")
    found = clock(story)
    assert (found.began, found.ended) == (14.0, 30.0)


def test_missing_pods_before_the_fault_do_not_lower_the_target() -> None:
    story = Story().add("workloads", PODINFO, 1.0, {"uid": "w", "desired": 3}).replicas_ready("a", "b")
    story.injected(10.0, ("podinfo-a", "a")).gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d")
    assert clock(story).state == "not recovered"


def test_later_or_failed_readings_do_not_move_the_target() -> None:
    """Scaled to nothing during the fault, it would be back at once."""
    story = Story().add("workloads", PODINFO, 1.0, {"uid": "w", "desired": 2}).replicas_ready("a", "b")
    story.injected(10.0, ("podinfo-a", "a")).add("workloads", PODINFO, 10.0, {"uid": "w", "desired": 1})
    story.error("workloads", PODINFO, 9.0, "unreadable")
    story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d")
    assert clock(story).ended == 12.0


def test_finished_pods_do_not_count_as_ready() -> None:
    """An evicted pod stays in the list as Failed."""
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a"))
    story.pod(11.0, "podinfo-a", "a", phase="Failed").pod(13.0, "podinfo-d", "d")
    found = clock(story)
    assert (found.began, found.ended) == (11.0, 13.0)


def test_condition_time_is_clamped_between_fault_and_arrival() -> None:
    """A whole second's resolution and another machine's clock must not make the bounds lie."""
    for since in (3.0, 99.0):
        story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a"), took=0.0)
        found = clock(story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d", since=since))
        assert 0.0 <= found.length.low <= found.length.high == pytest.approx(2.0)


def test_undo_starts_recovery_and_no_unready_pod_may_be_left() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, undone=20.0)
    story.pod(11.0, "podinfo-x", "x", ready=False)
    story.pod(20.5, "podinfo-x", "x", ready=False, deleting=True).gone(23.0, "podinfo-x", "x")
    found = clock(story, since="undone")
    assert found.state == "recovered"
    assert found.length.high == pytest.approx(0.5)
    assert "after the undo" in found.reason


def test_recovery_before_the_undo_took_no_time_after_it() -> None:
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a"), undone=20.0)
    story.gone(10.1, "podinfo-a", "a").pod(12.0, "podinfo-d", "d")
    found = clock(story, since="undone")
    assert (found.length.low, found.length.high) == (0.0, 0.0)
    assert "before the undo" in found.reason


def test_a_good_moment_before_the_undo_is_no_recovery_from_it() -> None:
    """It held for longer than the settle time, but the disruption was still there."""
    story = Story(settle=5).replicas_ready("a").injected(10.0, ("podinfo-a", "a"), undone=25.0)
    story.gone(10.1, "podinfo-a", "a").pod(11.0, "podinfo-d", "d")
    story.pod(20.0, "podinfo-d", "d", ready=False).pod(27.0, "podinfo-d", "d")
    assert clock(story, since="undone").length.high == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story().replicas_ready("a"), "no fault was injected"),
        (Story().injected(10.0), "no pod was seen ready"),
        (Story().replicas_ready("a").injected(10.0).gap("pods", 11.0, 12.0, complete=False), "may have been missed"),
        (Story().replicas_ready("a").injected(10.0).gap("pods", 11.0), "may have been missed"),
        (
            Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a")).gone(10.1, "podinfo-a", "a").gap("pods", 11),
            "before they were ready again",
        ),
    ],
)
def test_missing_data_is_reported_first(story: Story, reason: str) -> None:
    found = clock(story)
    assert (found.state, found.length) == ("no data", None)
    assert reason in found.reason


def test_complete_gap_does_not_affect_the_clock() -> None:
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a")).gap("pods", 10.5, 12.5)
    story.gone(12.4, "podinfo-a", "a").pod(13.0, "podinfo-d", "d")
    assert clock(story).state == "recovered"
    assert clock(Story().replicas_ready("a").injected(10.0).gap("pods", 11.0, 12.0)).state == "not disrupted"


def test_several_faults_and_their_undos_are_bracketed() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"), took=0.5, undone=20.0)
    story.injected(12.0, ("podinfo-b", "b"), took=0.5, undone=22.0)
    story.gone(10.1, "podinfo-a", "a").gone(12.1, "podinfo-b", "b")
    story.pod(24.0, "podinfo-d", "d", since=24).pod(25.0, "podinfo-e", "e", since=25)
    since_fault, since_undo = clock(story), clock(story, since="undone")
    assert (since_fault.length.low, since_fault.length.high) == pytest.approx((25 - 12.5, 25 - 10.0))
    assert (since_undo.length.low, since_undo.length.high) == pytest.approx((25 - 22.5, 25 - 20.0))


def test_not_undone_is_no_data_for_a_recovery_from_the_undo() -> None:
    found = clock(Story().replicas_ready("a").injected(10.0), since="undone")
    assert (found.state, found.reason) == ("no data", "the disruption was not undone")


@settings(deadline=None)
@given(
    kills=st.lists(st.tuples(st.floats(0, 2), st.floats(0.1, 8)), min_size=1, max_size=4),
    spare=st.integers(0, 2),
    lag=st.floats(0, 0.3),
)
def test_bounds_hold_the_true_recovery_in_any_pod_order(
    kills: list[tuple[float, float]], spare: int, lag: float
) -> None:
    """Each victim dies within the bracket and its replacement is ready some time later; the watch lags behind."""
    story = Story().replicas_ready(*(f"v{index}" for index in range(len(kills))), *(f"s{i}" for i in range(spare)))
    story.injected(10.0, *((f"podinfo-v{index}", f"v{index}") for index in range(len(kills))), took=2.0)
    events = []
    for index, (died, away) in enumerate(kills):
        events.append((10 + died, f"v{index}", False))
        events.append((10 + died + away, f"n{index}", True))
    for at, uid, ready in sorted(events):
        seen = at + lag
        story.pod(seen, f"podinfo-{uid}", uid, since=math.floor(at)) if ready else story.gone(
            seen, f"podinfo-{uid}", uid
        )
    found = clock(story)
    true_end = max(10 + died + away for died, away in kills)
    assert found.state == "recovered"
    assert found.length.low <= true_end - 10.0 <= found.length.high
    assert found.length.high <= true_end + lag - 10.0 + 1e-6


def lost_node(*, told: float | None) -> Story:
    """Two pods on a node that was cut off: others write at 32 s that they are not ready, and their kubelet, back at
    50 s, that they always were."""
    story = Story(fault=45).replicas_ready("a", "b", "c").injected(10.0)
    for name in ("a", "b"):
        story.pod(32.4, f"podinfo-{name}", name, ready=False, told=told)
    return story.pod(50.2, "podinfo-a", "a", since=0.0).pod(50.3, "podinfo-b", "b", since=0.0)


def test_absent_kubelet_does_not_date_recovery_before_the_outage() -> None:
    """Its Ready condition bears a time from before the fault, which is no time of recovery."""
    found = clock(lost_node(told=32.0))
    assert found.state == "recovered"
    assert (found.length.low, found.length.high) == pytest.approx((32.0 - 10.1, 50.3 - 10.0))


def test_unknown_outage_time_keeps_the_low_bound_at_the_fault() -> None:
    assert clock(lost_node(told=None)).length.low == 0.0


def test_time_after_its_own_arrival_is_ignored() -> None:
    """A node's clock may go ahead of this machine's."""
    assert clock(lost_node(told=99.0)).length.low == pytest.approx(32.4 - 10.1)


def test_pods_lingering_on_a_dead_node_count_as_replaced() -> None:
    """Evicted from a lost node, a pod stays Terminating until the node is back; the workload is whole without it."""
    story = Story(fault=45).replicas_ready("a", "b").injected(10.0)
    story.pod(32.0, "podinfo-a", "a", ready=False).pod(36.0, "podinfo-a", "a", ready=False, deleting=True)
    story.pod(36.1, "podinfo-d", "d", ready=False).pod(38.5, "podinfo-d", "d", since=38.0)
    found = clock(story)
    assert (found.state, found.began, found.ended) == ("recovered", 32.0, 38.5)

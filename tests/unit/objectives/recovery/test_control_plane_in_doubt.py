"""The control plane's clock in doubt: states lost after the recovery, and fewer replicas wanted than before."""

from __future__ import annotations

import math

import pytest

from harness.model.timeline import Injection, Interval, Victim
from harness.objectives.recovery import Recovery, recoveries
from tests.unit.timelines import PODINFO, Story


def clock(story: Story) -> Recovery:
    (found,) = recoveries(story.timeline, PODINFO, clocks=["control plane"])
    return found


def back_at_13() -> Story:
    """One of two replicas is killed at 10 s, and its replacement is ready at 13 s."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    return story.gone(10.1, "podinfo-a", "a").pod(13.0, "podinfo-d", "d", since=12.5)


@pytest.mark.parametrize(("began", "ended"), [(50.1, None), (50.1, 54.9), (12.9, 13.1), (14.0, 14.5)])
def test_states_lost_after_the_recovery_leave_only_its_low_bound(began: float, ended: float | None) -> None:
    """A relapse may have gone unseen. It could only have made the recovery longer."""
    found = clock(back_at_13().gap("pods", began, ended, complete=False))
    assert found.state == "no data"
    assert (found.length.low, found.length.high) == (pytest.approx(2.4), math.inf)
    assert found.likely is None
    assert "was interrupted after the recovery" in found.reason


def test_gap_covering_only_later_times_keeps_the_recovery() -> None:
    assert clock(back_at_13().gap("pods", 50.1, 54.9)).state == "recovered"


def test_recovery_from_a_relist_is_dated_at_the_relist() -> None:
    """What was hidden lies before it; the list is the state of that instant."""
    assert clock(back_at_13().gap("pods", 11.0, 13.0, complete=False)).state == "recovered"


def fewer_wanted(story: Story, desired: int, at: float = 12.0) -> Story:
    """Two of three replicas are killed at 10 s, and one is replaced at 14 s; the workload is set to so many."""
    story.add("workloads", PODINFO, 1.0, {"uid": "w", "desired": 3}).replicas_ready("a", "b", "c")
    story.injected(10.0, ("podinfo-a", "a"), ("podinfo-b", "b"))
    story.gone(10.1, "podinfo-a", "a").gone(10.2, "podinfo-b", "b")
    story.add("workloads", PODINFO, at, {"uid": "w", "desired": desired})
    return story.pod(14.0, "podinfo-d", "d", since=13.5)


def test_fewer_replicas_wanted_meanwhile_lower_only_the_low_end() -> None:
    """Whether an autoscaler had no more need of them or saw no load because of the fault cannot be told."""
    found = clock(fewer_wanted(Story(), 2))
    assert (found.state, found.length.low, found.length.high) == ("not recovered", pytest.approx(3.4), math.inf)
    assert "fewer replicas than before were desired meanwhile" in found.reason
    found = clock(fewer_wanted(Story(), 2).pod(20.0, "podinfo-e", "e", since=19.5))
    assert (found.state, found.length.low, found.length.high) == ("recovered", pytest.approx(3.4), pytest.approx(10.0))


def test_lowered_target_reached_by_the_count_is_a_recovery() -> None:
    assert clock(fewer_wanted(Story(), 2, at=16.0)).length.low == pytest.approx(5.9)


def test_unmet_lower_target_leaves_it_down() -> None:
    found = clock(fewer_wanted(Story(), 2).gone(14.5, "podinfo-c", "c"))
    assert found.length.low == pytest.approx(55 - 10.1)


def test_a_workload_that_was_switched_off_is_not_back_by_that() -> None:
    found = clock(fewer_wanted(Story(), 0).gone(15.0, "podinfo-c", "c").gone(15.0, "podinfo-d", "d"))
    assert (found.state, found.length.low) == ("not recovered", pytest.approx(55 - 10.1))


def test_a_workload_that_a_fault_scaled_down_is_not_back_by_that() -> None:
    """To want fewer is the disruption then."""
    story = fewer_wanted(Story(), 2)
    scaled = Victim("Deployment", "podinfo", "w", "3 replicas")
    story.timeline.injections.append(Injection("scale", (scaled,), Interval(11.9, 12.0), proven=True))
    assert clock(story).length.low == pytest.approx(55 - 12.0)

"""Recovery from faults that were injected at several moments."""

from __future__ import annotations

import pytest

from harness.model.timeline import Injection, Interval, Victim
from harness.objectives.recovery import Recovery, recoveries
from tests.unit.timelines import PODINFO, Story


def injected(story: Story, *times: float, undone: float = 0.0) -> Story:
    for moment, at in enumerate(times):
        gone = Interval(at + undone, at + undone + 0.1) if undone else None
        victims = (Victim("Pod", f"pod-{moment}", f"uid-{moment}"),)
        injection = Injection("podKill", victims, Interval(at, at + 0.1), gone, proven=True, moment=moment)
        story.timeline.injections.append(injection)
    return story


def clock(story: Story, since: str = "injected") -> Recovery:
    (found,) = recoveries(story.timeline, PODINFO, since=since, clocks=["user"])
    return found


def test_each_outage_counts_from_its_own_injection() -> None:
    story = injected(Story(settle=5), 10.0, 30.0)
    story.requests(0, 20, rate=10, failing=(10.2, 12)).requests(20, 80, rate=10, failing=(30.2, 34))
    found = clock(story)
    assert found.length is not None
    assert 3.5 < found.length.low <= found.length.high < 4.2
    assert "after the fault (injection 2 of 2)" in found.reason


def test_slowest_recovery_decides_whichever_it_is() -> None:
    story = injected(Story(settle=5), 10.0, 30.0)
    story.requests(0, 25, rate=10, failing=(10.2, 19)).requests(25, 80, rate=10, failing=(30.2, 31))
    found = clock(story)
    assert found.length is not None
    assert 8.5 < found.length.low <= found.length.high < 9.3
    assert "(injection 1 of 2)" in found.reason


def test_outage_over_a_later_injection_counts_from_the_first() -> None:
    found = clock(injected(Story(settle=5), 10.0, 20.0).requests(0, 80, rate=10, failing=(10.2, 25)))
    assert found.length is not None
    assert found.length.low > 14.5


def test_start_that_may_belong_to_both_has_bounds_for_both() -> None:
    """No request for seven seconds, with an injection in the middle: the outage may have begun before or after it."""
    story = injected(Story(settle=5), 10.0, 20.0)
    story.requests(0, 15, rate=10).requests(22, 80, rate=10, failing=(22, 26))
    found = clock(story)
    assert found.length is not None
    assert found.length.low < 6.1
    assert found.length.high > 15.5
    assert "(injection 1 or 2 of 2)" in found.reason


def test_one_that_never_recovers_decides() -> None:
    story = injected(Story(settle=5), 10.0, 30.0)
    story.requests(0, 20, rate=10, failing=(10.2, 12)).requests(20, 80, rate=10, failing=(30.2, 90))
    assert clock(story).state == "not recovered"


def test_recovery_since_the_undo_counts_from_its_own_undo() -> None:
    story = injected(Story(settle=5), 10.0, 30.0, undone=5.0)
    story.requests(0, 25, rate=10, failing=(10.2, 17)).requests(25, 80, rate=10, failing=(30.2, 38))
    found = clock(story, since="undone")
    assert found.length is not None
    assert found.length.high == pytest.approx(3.1, abs=0.3)


def test_faults_injected_together_are_one_moment() -> None:
    story = Story(settle=5).injected(10.0, took=0.0).requests(0, 55, rate=10, failing=(10, 13), took=0.02)
    assert "injection" not in clock(story).reason


def test_later_victim_is_not_awaited_before_its_injection() -> None:
    """Two pods killed in turn: the second stays ready until its time, so the first outage ends before."""
    story = Story(settle=5)
    for uid in ("0", "1"):
        story.pod(1.0, f"pod-{uid}", f"uid-{uid}")
    story.endpoints(1.0, "uid-0", "uid-1")
    injected(story, 10.0, 30.0)
    story.endpoints(10.5, "uid-1").endpoints(12.0, "uid-1", "uid-2")
    story.endpoints(30.5, "uid-2").endpoints(33.0, "uid-2", "uid-3")
    (found,) = recoveries(story.timeline, PODINFO, since="injected", clocks=["endpoints"], services=["podinfo"])
    assert found.length is not None
    assert found.length.high == pytest.approx(3.0, abs=0.2)
    assert "(injection 2 of 2)" in found.reason


def test_control_plane_counts_each_killed_pod_from_its_injection() -> None:
    story = Story(settle=5)
    for uid in ("0", "1"):
        story.pod(1.0, f"pod-{uid}", f"uid-{uid}")
    injected(story, 10.0, 30.0)
    story.pod(10.5, "pod-0", "uid-0", False, event="DELETED").pod(12.0, "pod-2", "uid-2")
    story.pod(30.5, "pod-1", "uid-1", False, event="DELETED").pod(34.0, "pod-3", "uid-3")
    (found,) = recoveries(story.timeline, PODINFO, clocks=["control plane"])
    assert found.length is not None
    assert found.length.high == pytest.approx(4.0, abs=0.2)
    assert "(injection 2 of 2)" in found.reason

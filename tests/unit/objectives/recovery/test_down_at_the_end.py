"""A workload that is down when watching ends has not recovered, on any clock, however well it was meanwhile."""

from __future__ import annotations

import pytest

from harness.model.verdict import Verdict
from harness.objectives.recovery import CLOCKS, ClockName, recoveries
from harness.objectives.recovery_time import RecoveryTime
from tests.unit.timelines import PODINFO, Story

GONE = 30.0  # 19 s after everything was back, 20 s before the settle phase


def relapsed(back: float | None = None) -> Story:
    """A victim is back after a second; later everything goes, and comes back or does not."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.gone(10.1, "podinfo-a", "a").endpoints(10.2, "b")
    story.pod(11.0, "podinfo-c", "c", since=11.0).endpoints(11.1, "b", "c", wall=11.0)
    story.gone(GONE, "podinfo-b", "b").gone(GONE, "podinfo-c", "c").endpoints(GONE)
    end = back or 56.0
    for number in range(55 * 20):
        at = number / 20
        story.request(at, ok=not (10.2 <= at < 11.0 or GONE <= at < end), outcome="refused")
    if back:
        for name in ("d", "e"):
            story.pod(back, f"podinfo-{name}", name, since=back)
        story.endpoints(back, "d", "e", wall=back)
    up = [(float(at), 1.0 if at == 11 or GONE <= at < end else 2.0) for at in range(56)]
    return story.up(up)


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_clock_that_ends_in_an_outage_saw_no_recovery(clock: ClockName) -> None:
    (found,) = recoveries(relapsed().timeline, PODINFO, clocks=[clock])
    assert found.state == "not recovered", found.reason
    assert found.length is not None
    assert found.length.high == float("inf")
    assert found.length.low > 40
    assert "2 outages" in found.reason
    (over,) = recoveries(relapsed(back=35.0).timeline, PODINFO, clocks=[clock])
    assert over.state == "recovered"
    assert "1 later outage after" in over.reason


@pytest.mark.parametrize("clock", ["controlPlane", "endpoints", "user", "prometheus"])
def test_workload_down_at_the_end_breaks_its_objective(clock: str) -> None:
    timeline = relapsed().timeline
    objective = RecoveryTime(of=PODINFO, max="20s", clocks=[clock])
    assert objective.judge(timeline).verdict is Verdict.BROKEN
    assert objective.pending(timeline)
    assert objective.judge(relapsed(back=35.0).timeline).verdict is Verdict.HELD


def test_down_for_less_than_the_limit_is_inconclusive() -> None:
    """It may yet have been back in time: the run ended too early to say so."""
    assert RecoveryTime(of=PODINFO, max="50s").judge(relapsed().timeline).verdict is Verdict.INCONCLUSIVE

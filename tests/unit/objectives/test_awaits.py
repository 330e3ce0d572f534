"""What objectives wait for while the faults are in effect: a fault phase whose length is a range ends without any."""

from __future__ import annotations

import pytest

from harness.model.timeline import Timeline
from harness.objectives.availability import Availability
from harness.objectives.base import Objective
from harness.objectives.recovery_time import RecoveryTime
from harness.objectives.replicas import Replicas
from harness.objectives.restarts import Restarts
from harness.objectives.rolled_back import RolledBack
from harness.objectives.rollout_halts import RolloutHalts
from tests.unit.objectives.recovery.test_moments import injected
from tests.unit.objectives.test_alert import SILENT, Seen, alert
from tests.unit.objectives.test_replicas import HPA, sizes
from tests.unit.objectives.test_rollouts import bad_rollout, seen
from tests.unit.timelines import PODINFO, Story


def recovery(**fields: str) -> RecoveryTime:
    return RecoveryTime.model_validate({"of": PODINFO, "max": "20s", **fields})


def test_recovery_is_awaited_until_it_was_seen() -> None:
    story = Story(fault=60, recovery=0, settle=0).injected(10.0).requests(0, 12, rate=10, failing=(10.2, 12))
    assert "down" in recovery().awaits(story.timeline)
    assert recovery().awaits(story.requests(12, 25, rate=10).timeline) == ""


def test_recovery_from_the_last_injection_is_awaited_too() -> None:
    """The first outage is over; that of the second injection is not visible yet."""
    story = injected(Story(fault=60, recovery=0, settle=0), 10.0, 20.0)
    story.requests(0, 21, rate=10, failing=(10.2, 12))
    assert recovery().awaits(story.timeline)
    story.requests(21, 40, rate=10, failing=(21, 24))
    assert recovery().awaits(story.timeline) == ""


def test_recovery_from_the_undo_is_not_awaited() -> None:
    story = Story(fault=60, recovery=0, settle=0).injected(10.0).requests(0, 25, rate=10, failing=(10.2, 25))
    assert recovery(since="undone").awaits(story.timeline) == ""


@pytest.mark.parametrize(("ready", "awaited"), [(3, True), (5, False)])
def test_replicas_are_awaited_until_they_are_reached(ready: int, awaited: bool) -> None:
    story = sizes((1, 3, 3), (20, ready, ready))
    assert bool(Replicas(of=HPA, reaches=5, within="30s").awaits(story.timeline)) == awaited
    assert Replicas(of=HPA, neverBelow=5).awaits(story.timeline) == ""


def test_restarts_are_awaited_until_there_are_enough() -> None:
    story = Story(fault=60, recovery=0, settle=0).injected(10.0, ("a", "1"))
    story.pod(0, "a", "1", restarts=0).pod(12, "a", "1", restarts=1)
    awaited = [Restarts(of=PODINFO, min=least).awaits(story.timeline) for least in (1, 2)]
    assert awaited == ["", f"{PODINFO} had 1 restart, at least 2 required"]


def test_alert_is_awaited_until_it_reached_alertmanager() -> None:
    looks = Seen(alert())
    assert alert().awaits(looks.timeline()) == ""
    looks.active = (1000.0, 1000.0)
    assert alert().awaits(looks.timeline()) == "ShopDown has not fired (Alertmanager)"
    assert alert(**SILENT).awaits(looks.timeline()) == ""


@pytest.mark.parametrize("objective", [Availability(min="99%"), RolledBack(of=PODINFO, within="30s")])
def test_others_wait_for_nothing(objective: Objective) -> None:
    assert objective.awaits(Story().injected(10.0).timeline) == ""


@pytest.mark.parametrize("objective", [recovery(), RolloutHalts(of=PODINFO, within="30s"), alert()])
def test_nothing_is_awaited_before_an_injection(objective: Objective) -> None:
    assert objective.awaits(Timeline(0.0, 0.0)) == ""


def test_deadline_is_awaited_until_it_is_reported() -> None:
    halts = RolloutHalts(of=PODINFO, within="30s")
    story = seen(Story(fault=20), 1.0).injected(10.0)
    assert halts.awaits(story.timeline) == f"{PODINFO} has not reported ProgressDeadlineExceeded"
    assert halts.awaits(seen(story, 22.0, exceeded=21.5).timeline) == ""


def test_deadline_is_not_awaited_after_the_undo() -> None:
    assert RolloutHalts(of=PODINFO, within="30s").awaits(bad_rollout(reported=None).timeline) == ""

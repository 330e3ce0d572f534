"""Eviction order: who loses pods first when memory is short."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.eviction_order import EvictionOrder
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
SCRATCH, BATCH, SHOP = "deployment/scratch", "deployment/batch", "deployment/shop"


def objective(**fields: object) -> EvictionOrder:
    return EvictionOrder.model_validate({"order": [SCRATCH, BATCH], "spared": [SHOP], **fields})


def story(**evicted: float) -> Story:
    """One pod of each workload, evicted at the given times."""
    made = Story(fault=40).injected(10.0)
    for name in ("scratch", "batch", "shop"):
        made.pod(1.0, name, name, owner=f"deployment/{name}")
    for name, at in sorted(evicted.items(), key=lambda one: one[1]):
        made.pod(at, name, name, owner=f"deployment/{name}", phase="Failed", reason="Evicted", unreported=True)
    return made


def killed(name: str, at: float) -> Story:
    """The kernel kills a container."""
    return story().pod(at, name, name, owner=f"deployment/{name}", restarts=1, end_reason="OOMKilled")


@pytest.mark.parametrize(
    ("made", "verdict", "reason"),
    [
        (story(scratch=15.0, batch=25.0), HELD, "scratch lost scratch (Evicted) at 15 s; deployment/batch lost batch"),
        (story(scratch=15.0), HELD, "deployment/batch, deployment/shop lost none"),
        (killed("scratch", 15.0), HELD, "scratch lost scratch (app OOMKilled) at 15 s"),
        (story(batch=15.0, scratch=25.0), BROKEN, "batch lost a pod before deployment/scratch did"),
        (story(batch=15.0), BROKEN, "batch lost a pod before deployment/scratch did"),
        (story(scratch=15.0, shop=25.0), BROKEN, "deployment/shop must lose no pod"),
        (killed("shop", 15.0), BROKEN, "deployment/shop must lose no pod"),
        (story(), INCONCLUSIVE, "memory was not short"),
        (Story().injected(10.0), INCONCLUSIVE, "no pod of deployment/scratch, deployment/batch, deployment/shop"),
    ],
)
def test_order(made: Story, verdict: Verdict, reason: str) -> None:
    finding = objective().judge(made.timeline)
    assert finding.verdict is verdict
    assert reason in finding.reason


def test_what_was_lost_before_the_fault_does_not_count() -> None:
    made = Story(fault=40).injected(10.0)
    for at in (1.0, 15.0):
        made.pod(at, "scratch", "scratch", owner=SCRATCH, restarts=1, end_reason="OOMKilled")
        made.pod(at, "batch", "batch", owner=BATCH)
    assert EvictionOrder(order=(SCRATCH, BATCH)).judge(made.timeline).verdict is INCONCLUSIVE


def test_it_waits_for_all_in_order() -> None:
    assert objective().awaits(story(scratch=15.0).timeline) == "deployment/batch lost no pod yet"
    assert objective().awaits(story(scratch=15.0, batch=20.0).timeline) == ""


@pytest.mark.parametrize("fields", [{"order": []}, {"order": [SHOP]}, {"order": [BATCH], "spared": []}])
def test_order_needs_two_workloads_each_once(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        objective(**fields)


def test_missed_states_are_inconclusive_unless_it_is_broken() -> None:
    assert objective().judge(story(scratch=15.0).gap("pods", 20.0).timeline).verdict is INCONCLUSIVE
    assert objective().judge(story(shop=15.0).gap("pods", 20.0).timeline).verdict is BROKEN

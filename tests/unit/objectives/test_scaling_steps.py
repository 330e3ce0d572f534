"""Scaling steps: how large they are, how late those down come, and how often the direction changes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.scaling_steps import ScalingSteps
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
HPA = "hpa/podinfo"
METRIC = {"resource": "cpu", "container": "", "per_pod": 0.06, "target": 60.0}
SETTINGS: dict[str, Any] = {"tolerance": 0.1, "metrics": [METRIC]}
# When, current, desired, utilization in percent. The load is low again at 30 s, which the metrics show at 40 s.
SPIKE = (
    (1.0, 1, 1, 20),
    (20.0, 1, 3, 180),
    (22.0, 3, 3, 60),
    (40.0, 3, 3, 5),
    (60.0, 3, 2, 5),
    (65.0, 2, 1, 7),
)


def sizes(*seen: tuple[float, int, int | None, int | None], settings: dict[str, Any] | None = SETTINGS) -> Story:
    story = Story(fault=20, recovery=50)
    if settings:
        story.add("scaling", HPA, 0.5, settings)
    for at, current, desired, percent in seen:
        metrics = {} if percent is None else {"cpu": float(percent)}
        value = {"current": current, "desired": desired, "min": 1, "max": 5, "metrics": metrics}
        story.add("autoscalers", HPA, at, value)
    return story


def judge(story: Story, **fields: Any) -> tuple[Verdict, str]:
    finding = ScalingSteps(of=HPA, **fields).judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"max_up": 2}, HELD),
        ({"max_up": 1}, BROKEN),
        ({"max_down": 1}, HELD),
        ({"down_after": "20s"}, HELD),
        ({"down_after": "20.1s"}, BROKEN),
        ({"max_reversals": 1}, HELD),
        ({"max_reversals": 0}, BROKEN),
        ({"max_up": 2, "max_down": 1, "down_after": "20s", "max_reversals": 1}, HELD),
        ({"max_up": 1, "max_down": 1, "down_after": "20s", "max_reversals": 1}, BROKEN),
    ],
)
def test_every_step_keeps_to_the_limits(fields: dict[str, Any], verdict: Verdict) -> None:
    assert judge(sizes(*SPIKE), **fields)[0] is verdict


def test_largest_step_decides() -> None:
    verdict, reason = judge(sizes(*SPIKE[:4], (60.0, 3, 1, 5)), max_down=1)
    assert verdict is BROKEN
    assert "removed 2 replicas in its largest step (3 → 1 at 60 s), at most 1 allowed" in reason


def test_step_with_the_first_low_metrics_did_not_wait() -> None:
    verdict, reason = judge(sizes(*SPIKE[:3], (40.0, 3, 1, 5)), down_after="10s")
    assert verdict is BROKEN
    assert "went 3 → 1 at 40 s 0 ms after its metrics last wanted 3" in reason


def test_metrics_that_rise_again_restart_the_wait() -> None:
    seen = (*SPIKE[:4], (50.0, 3, 3, 60), (55.0, 3, 3, 5), (60.0, 3, 2, 5))
    assert judge(sizes(*seen), down_after="5s")[0] is HELD
    assert judge(sizes(*seen), down_after="6s")[0] is BROKEN


def test_use_within_the_tolerance_wants_the_size() -> None:
    """54 % of a target of 60 % is within 10 %."""
    seen = (*SPIKE[:3], (40.0, 3, 3, 54), (58.0, 3, 3, 30), (60.0, 3, 2, 30))
    assert judge(sizes(*seen), down_after="3s")[0] is BROKEN


def test_the_metric_that_wants_most_decides() -> None:
    both = SETTINGS | {"metrics": [METRIC, METRIC | {"resource": "memory", "container": "app", "target": 100.0}]}
    story = sizes(*SPIKE[:3], settings=both)
    for at, desired, memory in ((40.0, 3, 100.0), (59.0, 3, 1.0), (60.0, 2, 1.0)):
        metrics = {"cpu": 5.0, "app/memory": memory}
        story.add("autoscalers", HPA, at, {"current": 3, "desired": desired, "min": 1, "max": 5, "metrics": metrics})
    assert judge(story, down_after="2s")[0] is BROKEN
    assert judge(story, down_after="1s")[0] is HELD


def test_flapping_is_counted_with_its_steps() -> None:
    seen = (*SPIKE[:4], (42.0, 3, 1, 5), (50.0, 1, 3, 180), (58.0, 3, 1, 5))
    verdict, reason = judge(sizes(*seen), max_reversals=1)
    assert verdict is BROKEN
    assert "changed its direction 3 times, at most 1 allowed (1 → 3 at 20 s, 3 → 1 at 42 s, 1 → 3 at 50 s" in reason


def test_steps_before_the_fault_do_not_count() -> None:
    assert judge(sizes((1.0, 5, 5, 60), (3.0, 5, 1, 5), *SPIKE[1:]), max_down=1, max_reversals=1)[0] is HELD


@pytest.mark.parametrize("unknown", [None, 0])
def test_short_unknown_size_is_no_step(unknown: int | None) -> None:
    seen = (*SPIKE[:4], (45.0, 3, unknown, None), (46.0, 3, 3, 5), *SPIKE[4:])
    assert judge(sizes(*seen), max_down=1, max_reversals=1)[0] is HELD


@pytest.mark.parametrize(
    ("story", "fields"),
    [
        (Story(fault=0, recovery=0, settle=0), {"max_up": 2}),
        (sizes(), {"max_up": 2}),
        (sizes((1.0, 1, 1, 20)), {"max_reversals": 1}),
        (sizes(*SPIKE[:4]), {"max_down": 1}),
        (sizes(*SPIKE[:4]), {"down_after": "10s"}),
        (sizes(*SPIKE, settings=None), {"down_after": "10s"}),
        (sizes(*SPIKE, settings={"tolerance": 0.1, "metrics": []}), {"down_after": "10s"}),
        (sizes(*SPIKE).gap("autoscalers", 30.0, 31.0, complete=False), {"max_up": 2}),
        (sizes(*SPIKE).gap("autoscalers", 30.0), {"max_up": 2}),
    ],
    ids=["no fault", "not watched", "no step", "none down", "none waited", "no settings", "no metric", "lost", "open"],
)
def test_missing_data_is_inconclusive(story: Story, fields: dict[str, Any]) -> None:
    assert judge(story, **fields)[0] is INCONCLUSIVE


def test_requirement_is_needed() -> None:
    with pytest.raises(ValidationError, match="found no requirement, expected maxUp, maxDown, downAfter"):
        ScalingSteps(of=HPA)


def test_breach_is_certain_with_one_step() -> None:
    objective = ScalingSteps(of=HPA, max_up=1)
    assert objective.breached(sizes(*SPIKE[:1]).timeline, {}) == ""
    assert "added 2 replicas" in objective.breached(sizes(*SPIKE[:2]).timeline, {})
    assert "has not computed" in objective.unready(sizes((1.0, 1, 0, None)).timeline)

"""What a vertical autoscaler recommends comes within bounds in time, and stays there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.recommendation import Recommendation
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
VPA = "vpa/podinfo"
CPU: dict[str, Any] = {"cpu": {"atLeast": "100m", "atMost": "200m"}}


def advised(*targets: tuple[float, float | None]) -> Story:
    """A fault phase from 10 s to 60 s, and recommendations of CPU at their times; None: none for the container."""
    story = Story(fault=50)
    for at, cpu in targets:
        containers = {} if cpu is None else {"app": {"target": {"cpu": cpu, "memory": 2**26}}}
        story.add("recommendations", VPA, at, {"mode": "Off", "containers": containers})
    return story


def objective(**fields: Any) -> Recommendation:
    return Recommendation(**({"of": VPA, "container": "app", "within": "40s", **CPU} | fields))


@pytest.mark.parametrize(
    ("targets", "verdict", "words"),
    [
        ([(5.0, None), (30.0, 0.15)], HELD, "20 s after the start of the fault phase"),
        ([(5.0, 0.15)], HELD, "0 ms after"),
        ([(5.0, None), (30.0, 0.05), (40.0, 0.15)], HELD, "30 s after"),
        ([(5.0, None), (55.0, 0.15)], BROKEN, "45 s after"),
        ([(5.0, None), (30.0, 0.15), (50.0, 0.3)], BROKEN, "at the end: 300m cpu, after it had been within"),
        ([(5.0, None), (30.0, 0.3)], BROKEN, "at the end: 300m cpu"),
        ([(5.0, None)], BROKEN, "at the end: no cpu"),
        ([(5.0, None), (30.0, 0.15), (65.0, 0.3)], HELD, "20 s after"),
    ],
    ids=["in time", "from the start", "not at first", "late", "left", "outside", "none", "after the fault"],
)
def test_target_settles_within_its_bounds(targets: Any, verdict: Verdict, words: str) -> None:
    finding = objective().judge(advised(*targets).timeline)
    assert (finding.verdict, words in finding.reason) == (verdict, True), finding.reason


def test_every_resource_must_be_within_its_bounds() -> None:
    timeline = advised((5.0, 0.15)).timeline
    assert objective(memory={"atMost": "64Mi"}).judge(timeline).verdict is HELD
    assert objective(memory={"atMost": "63Mi"}).judge(timeline).verdict is BROKEN


def test_short_fault_phase_shows_nothing() -> None:
    finding = objective(within="50s").judge(advised((5.0, None)).timeline)
    assert finding.verdict is INCONCLUSIVE


@pytest.mark.parametrize("story", [advised(), advised((70.0, 0.15))])
def test_unobserved_autoscaler_is_inconclusive(story: Story) -> None:
    assert objective().judge(story.timeline).verdict is INCONCLUSIVE


@pytest.mark.parametrize(("ended", "complete", "verdict"), [(None, True, INCONCLUSIVE), (21.0, True, HELD)])
def test_interrupted_watch_hides_recommendations(ended: float | None, complete: bool, verdict: Verdict) -> None:
    story = advised((5.0, 0.15)).gap("recommendations", 20.0, ended, complete)
    assert objective().judge(story.timeline).verdict is verdict


def test_fault_phase_waits_until_the_target_is_within() -> None:
    assert "not yet" in objective().awaits(advised((5.0, None)).timeline)
    assert objective().awaits(advised((5.0, None), (30.0, 0.15)).timeline) == ""


@pytest.mark.parametrize("fields", [{"cpu": None}, {"of": "hpa/podinfo"}, {"within": "0s"}, {"container": ""}])
def test_wrong_parameters_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        objective(**fields)

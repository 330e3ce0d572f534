"""Users that wait for their responses: what they did not send meanwhile, and what it means for the objectives."""

from __future__ import annotations

import pytest

from harness.model.closed_model import pace, waited
from harness.model.verdict import Verdict
from harness.objectives.availability import Availability
from harness.objectives.base import Objective
from harness.objectives.error_rate import ErrorRate
from harness.objectives.latency import Latency
from tests.unit.timelines import Story

HELD, INCONCLUSIVE = Verdict.HELD, Verdict.INCONCLUSIVE
ORIGIN = 500.0


def users(stall: float = 0.0, *, ok: bool = True, count: int = 20, **load: object) -> Story:
    """``count`` users with a request each 0.5 s, which takes 20 ms; from 12 s on those in flight take ``stall``."""
    story = Story()
    for user in range(count):
        at, struck = 0.5 * user / count, False
        while at < 55:
            hit = stall and at >= 12 and not struck
            struck = struck or bool(hit)
            took = stall if hit else 0.02
            story.request(at, ok=ok or not hit, took=took)
            at += max(0.5, took + 0.48)
    return story.load(**{"model": "closed", "users": ((ORIGIN - 5, count),)} | load)


def test_the_share_of_waiting_is_that_of_all_users() -> None:
    timeline = users(stall=5).timeline
    assert waited(timeline, "baseline") == pytest.approx(0.04, abs=0.001)
    # Each of the users waits 5 of the 10 s, and for a twentieth of the rest.
    assert waited(timeline, "fault") == pytest.approx(0.5 + 0.5 * 0.04, abs=0.01)


def test_an_unfinished_request_is_waiting_too() -> None:
    timeline = users(count=2, unfinished=(ORIGIN + 50, ORIGIN + 51)).timeline
    assert waited(timeline, "settle") == pytest.approx(0.9 + 0.04, abs=0.01)


def test_a_growing_number_of_users_is_counted() -> None:
    timeline = users(count=2, users=((ORIGIN, 1), (ORIGIN + 5, 3))).timeline
    # 1 user for 5 s and 3 for 5 s are 20 user-seconds, like 2 users for 10 s.
    assert waited(timeline, "baseline") == pytest.approx(0.04, abs=0.001)


def test_hidden_requests_are_those_of_the_baselines_pace() -> None:
    found = pace(users(stall=5).timeline, "fault")
    assert found is not None
    # 20 users at 2 requests a second each; in 5 s of a stall each sends 9 fewer.
    assert found.expected == pytest.approx(400, abs=1)
    assert found.hidden == pytest.approx(20 * 9, abs=20)
    assert pace(users().timeline, "fault").hidden <= 1  # type: ignore[union-attr]


def test_an_open_load_hides_nothing() -> None:
    timeline = users(stall=5, model="open").timeline
    assert waited(timeline, "fault") is None
    assert pace(timeline, "fault") is None
    assert "closed model" not in Latency(share="90%", below="200ms").judge(timeline).detail


@pytest.mark.parametrize(
    ("objective", "stall", "ok"),
    [
        (Latency(share="97%", below="200ms"), 5.0, True),
        (Availability(min="97%"), 5.0, False),
        (ErrorRate(max="3%"), 5.0, False),
    ],
    ids=lambda each: getattr(each, "kind", str(each)),
)
def test_a_stall_of_few_requests_is_not_held(objective: Objective, stall: float, ok: bool) -> None:
    """20 of 1,600 requests were slow or failed: 1.3 %. At a constant pace it is a tenth of all."""
    finding = objective.judge(users(stall, ok=ok).timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "users that waited sent nothing" in finding.reason
    assert objective.judge(users(stall, ok=ok, model="open").timeline).verdict is HELD
    calm = objective.judge(users().timeline)
    assert calm.verdict is HELD
    assert calm.detail["closed model"].startswith("0 more")


def test_waiting_of_less_than_the_usual_interval_hides_nothing() -> None:
    assert Latency(share="97%", below="200ms").judge(users(0.6).timeline).verdict is HELD


def test_a_request_without_an_end_counts_as_unknown() -> None:
    """Under 1 % of the requests, so only their waiting can make it doubtful."""
    hanging = users(unfinished=(ORIGIN + 15,) * 4, offered=1604, achieved=1600)
    finding = Availability(min="97%").judge(hanging.timeline)
    assert finding.verdict is INCONCLUSIVE
    many = users(unfinished=(ORIGIN + 15,) * 100, offered=1700, achieved=1600)
    assert "had no answer by the end" in Availability(min="97%").judge(many.timeline).reason

"""Availability and latency: exact bounds decide, and what was not measured decides nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.availability import Availability
from harness.objectives.base import Objective
from harness.objectives.error_rate import ErrorRate
from harness.objectives.latency import Latency
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def run(failed: int = 0, slow: int = 0, total: int = 1000, start: float = 10.0, **load: object) -> Story:
    """``total`` requests over the 45 s after the baseline; the first of them fail, the next ones drag."""
    story = Story()
    for number in range(total):
        bad, dragging = number < failed, failed <= number < failed + slow
        story.request(start + 45 * number / total, ok=not bad, took=0.5 if dragging else 0.02)
    return story.load(**load)


@pytest.mark.parametrize(
    ("failed", "total", "verdict"),
    [(0, 1000, HELD), (2, 1000, HELD), (5, 1000, INCONCLUSIVE), (10, 1000, INCONCLUSIVE), (30, 1000, BROKEN)],
)
def test_availability_is_decided_by_bounds_not_the_share_alone(failed: int, total: int, verdict: Verdict) -> None:
    """99.5 % of 1,000 would meet 99 % as a number, yet does not show it."""
    finding = Availability(min="99%").judge(run(failed, total=total).timeline)
    assert finding.verdict is verdict
    assert finding.samples == total
    assert finding.observed == pytest.approx(100 * (1 - failed / total))
    assert finding.low < finding.observed <= finding.high
    assert (finding.limit, finding.unit, finding.comparison) == (99, "%", ">=")


def test_too_few_samples_report_how_many_are_needed() -> None:
    finding = Availability(min="99.9%").judge(run(total=500).timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "500 of 500 requests succeeded (100%)" in finding.reason
    assert "2995 requests without a further failure" in finding.reason


def test_only_selected_phases_count_by_intended_start() -> None:
    story = Story().requests(10, 19.99, rate=50, failing=(10, 20)).requests(20, 55, rate=50)
    story.request(19.999, ok=True, late=2.0).load()
    timeline = story.timeline
    assert Availability(min="99%", phases=["recovery", "settle"]).judge(timeline).verdict is HELD
    assert Availability(min="99%", phases=["fault"]).judge(timeline).verdict is BROKEN
    assert Availability(min="99%").judge(timeline).verdict is BROKEN


@pytest.mark.parametrize("objective", [Availability(min="90%"), ErrorRate(max="10%")], ids=lambda each: each.kind)
def test_an_outage_that_is_not_over_has_no_known_cost(objective: Objective) -> None:
    assert objective.judge(Story().requests(10, 55, rate=50, failing=(53, 54)).load().timeline).verdict is HELD
    story = Story().requests(10, 55, rate=50, failing=(54, 60)).load()
    finding = objective.judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "the last 10 requests all failed" in finding.reason
    before = objective.model_copy(update={"phases": ("fault", "recovery")})
    assert before.judge(story.timeline).verdict is HELD


def test_failures_are_named_in_the_detail() -> None:
    story = run(total=10).request(20, ok=False, outcome="timeout").load()
    assert Availability(min="90%").judge(story.timeline).detail == {"failed: timeout": "1"}


@pytest.mark.parametrize(("slow", "verdict"), [(0, HELD), (45, INCONCLUSIVE), (100, BROKEN)])
def test_latency_is_the_share_of_fast_successful_requests(slow: int, verdict: Verdict) -> None:
    finding = Latency(share="95%", below="200ms").judge(run(slow=slow).timeline)
    assert finding.verdict is verdict
    assert finding.observed == pytest.approx(100 * (1 - slow / 1000))
    assert finding.detail["slowest"] == ("500 ms" if slow else "20 ms")


def late(took: float, late: float) -> Story:
    """400 requests, all but the first twenty of them sent late."""
    story = Story()
    for number in range(400):
        story.request(10 + number / 10, late=late if number >= 20 else 0.0, took=took)
    return story.load()


def test_generator_lateness_never_breaks_latency() -> None:
    """A client that stalled must not hide the stall, nor put its own lateness down to the service."""
    objective = Latency(share="95%", below="200ms")
    finding = objective.judge(late(took=0.01, late=1.0).timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "380 requests were slow only because the load generator started them late" in finding.reason
    assert objective.judge(late(took=0.3, late=1.0).timeline).verdict is BROKEN
    assert objective.judge(late(took=0.01, late=0.1).timeline).verdict is HELD


def test_a_latency_of_exactly_the_threshold_is_not_below_it() -> None:
    story = Story()
    for number in range(100):
        story.request(16 + number / 8, took=0.25)
    assert Latency(share="50%", below="250ms").judge(story.load().timeline).verdict is BROKEN


def test_failed_requests_have_no_latency() -> None:
    """A refused connection is quick; counting it would make an outage look like an improvement."""
    finding = Latency(share="95%", below="200ms").judge(run(failed=900, slow=50).timeline)
    assert (finding.samples, finding.verdict) == (100, BROKEN)
    assert Latency(share="95%", below="200ms").judge(run(failed=1000).timeline).verdict is INCONCLUSIVE


KINDS = [Availability(min="90%"), Latency(share="90%", below="1s")]


@pytest.mark.parametrize("objective", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story(), "no request"),
        (Story().load(), "no request"),
        (Story().requests(0, 10).load(), "no request"),
        (Story().requests(10, 55), "left no summary"),
        (run(error="the worker died"), "the worker died"),
        (run(saturated=True), "saturated"),
        (run(offered=1011, achieved=1000, dropped=11), "11 more were due and never sent"),
    ],
)
def test_unmeasured_objective_never_holds(objective: Objective, story: Story, reason: str) -> None:
    finding = objective.judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE
    assert reason in finding.reason


@pytest.mark.parametrize("objective", KINDS, ids=lambda kind: kind.kind)
def test_missing_arrivals_within_the_limit_still_hold(objective: Objective) -> None:
    finding = objective.judge(run(offered=1010, achieved=1000, dropped=10).timeline)
    assert finding.verdict is HELD
    assert finding.detail["never sent"] == "10, the verdict would be the same if all of them had been bad"


@pytest.mark.parametrize(
    "objective",
    [Availability(min="99%"), ErrorRate(max="1%"), Latency(share="99%", below="1s")],
    ids=lambda kind: kind.kind,
)
def test_missing_arrivals_that_could_break_it_are_inconclusive(objective: Objective) -> None:
    """Ten of 1,010 use up what 99 % allows, and a generator drops arrivals when the service stalls."""
    assert objective.judge(run().timeline).verdict is HELD
    finding = objective.judge(run(offered=1010, achieved=1000, dropped=10).timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "but 10 more were due and never sent; if all of them were bad it might not hold" in finding.reason


def test_measured_breach_stays_broken_despite_missing_arrivals() -> None:
    story = run(failed=30, offered=1010, achieved=1000, dropped=10)
    assert Availability(min="99%").judge(story.timeline).verdict is BROKEN
    assert ErrorRate(max="1%").judge(story.timeline).verdict is BROKEN


def test_dropped_arrivals_all_count_against_the_phases_judged() -> None:
    """They are dropped when it hurts; 60 of 6,000 are few in a run and many in its settle phase."""
    story = Story().requests(0, 50, rate=100).requests(50, 55, rate=100).load(offered=5540)
    assert Availability(min="95%").judge(story.timeline).verdict is HELD
    assert Availability(min="95%", phases=["settle"]).judge(story.timeline).verdict is INCONCLUSIVE


def test_outage_is_broken_even_if_missing_arrivals_were_good() -> None:
    """A pool that fills up with time-outs drops arrivals: that must not rescue the service."""
    finding = Availability(min="99%").judge(run(failed=500, offered=1100, achieved=1000, dropped=100).timeline)
    assert finding.verdict is BROKEN
    assert finding.detail["never sent"].startswith("100")


@pytest.mark.parametrize("objective", KINDS, ids=lambda kind: kind.kind)
def test_steady_state_uses_the_point_estimate_without_a_summary(objective: Objective) -> None:
    """Twenty good requests bound little, but are no reason not to begin."""
    assert objective.checks_baseline
    assert objective.judge(Story().requests(0, 10, rate=2).timeline, ["baseline"]).verdict is HELD
    assert objective.judge(Story().timeline, ["baseline"]).verdict is INCONCLUSIVE


def test_a_steady_state_below_the_minimum_is_broken() -> None:
    story = Story().requests(0, 10, rate=2, failing=(0, 2), took=0.5)
    assert Availability(min="90%").judge(story.timeline, ["baseline"]).verdict is BROKEN
    assert Availability(min="80%").judge(story.timeline, ["baseline"]).verdict is HELD
    assert Latency(share="90%", below="200ms").judge(story.timeline, ["baseline"]).verdict is BROKEN


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 300), st.floats(0.01, 0.99))
def test_more_failures_never_make_it_better(failed: int, good: int, minimum: float) -> None:
    order = [BROKEN, INCONCLUSIVE, HELD]
    objective = Availability(min=minimum)
    one, other = (
        objective.judge(run(failures, total=failures + good).timeline).verdict for failures in (failed, failed + 20)
    )
    assert order.index(other) <= order.index(one)


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Availability, {}, "Field required"),
        (Availability, {"min": "100%"}, "found 100%, expected more than 0% and less than 100%"),
        (Availability, {"min": "0%"}, "found 0%"),
        (Availability, {"min": "many"}, "found 'many', expected a percentage"),
        (Availability, {"min": 99.9}, "found 99.9, expected a share of at most 100%, write 99.9%"),
        (Availability, {"min": "99%", "phases": []}, "at least 1 item"),
        (Availability, {"min": "99%", "phases": ["after"]}, "'baseline', 'fault', 'recovery' or 'settle'"),
        (Availability, {"min": "99%", "confidence": "100%"}, "found 100%"),
        (Availability, {"min": "99%", "minimum": 1}, "Extra inputs"),
        (Latency, {"share": "95%"}, "Field required"),
        (Latency, {"share": "95%", "below": "0s"}, "found 0 s, expected a duration longer"),
        (Latency, {"share": "0%", "below": "1s"}, "found 0%"),
    ],
)
def test_impossible_parameters_are_refused(kind: type[Objective], fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("(", r"\(")):
        kind(**fields)


def test_titles_state_the_requirement() -> None:
    assert Availability(min="99.95%").title == "availability at least 99.95%"
    assert Latency(share="95%", below="200ms").title == "95% of requests below 200 ms"


@pytest.mark.parametrize(("good", "shown"), [(1000, "100%"), (999, "99.9%")])
def test_shares_are_never_rounded_up_to_all(good: int, shown: str) -> None:
    assert f"({shown})" in Availability(min="50%").judge(run(1000 - good).timeline).reason


def test_one_failure_in_a_million_does_not_read_as_all() -> None:
    from harness.objectives._share import show_share

    assert (show_share(1 - 1e-6), show_share(1e-6), show_share(1.0), show_share(0.0)) == (
        "99.999%",
        "0.001%",
        "100%",
        "0%",
    )

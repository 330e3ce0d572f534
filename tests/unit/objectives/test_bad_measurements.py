"""Bad measurements: clock steps, NaN, counter resets, restarts, gaps, two series, nothing at all, a busy generator.

Each comes from what is measured down to the verdict, and none of them may come out HELD.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from harness.model.finding import Finding
from harness.model.phase_names import BASELINE, FAULT
from harness.model.verdict import Verdict
from harness.objectives.availability import Availability
from harness.objectives.error_rate import ErrorRate
from harness.objectives.invariant import Invariant
from harness.objectives.latency import Latency
from harness.objectives.prometheus import Prometheus
from harness.objectives.recovery_time import RecoveryTime
from tests.unit.probes.prometheus.prometheus_stand import Stand
from tests.unit.prometheus.scripted_prometheus import vector
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
COUNTED = "sum(increase(hits{code!~'5..'}[$window]))"
RATIO = Prometheus(name="served", good=COUNTED, total="sum(increase(hits[$window]))", min="99%", phases=["fault"])
VALUE = Prometheus(name="queue", value="max(queue)", max=100, reducer="max", phases=["fault"])
GOOD_VALUES = [(float(second), 1.0) for second in range(37)]

Spoil = Callable[[Stand], None]


def judged(objective: Prometheus, spoil: Spoil | None = None) -> Finding:
    """The finding of a run that is good but for what ``spoil`` does to it before Prometheus is asked."""
    stand = Stand()
    stand.values = list(GOOD_VALUES)
    if spoil:
        spoil(stand)
    stand.look(objective)
    return objective.judge(stand.timeline)


def put(**attributes: Any) -> Spoil:
    def spoil(stand: Stand) -> None:
        for name, value in attributes.items():
            setattr(stand, name, value)

    return spoil


def page(name: str, answer: Any) -> Spoil:
    return lambda stand: stand.script.answers.update({name: answer})


def info(started: str) -> Any:
    return {"status": "success", "data": {"startTime": started}}


def values_without(first: float, last: float) -> list[tuple[float, float]]:
    return [(at, value) for at, value in GOOD_VALUES if not first <= at <= last]


@pytest.mark.parametrize("objective", [RATIO, VALUE], ids=["ratio", "value"])
def test_flawless_run_holds(objective: Prometheus) -> None:
    """Or none of the tests below would show anything."""
    finding = judged(objective)
    assert finding.verdict is HELD, finding.reason


@pytest.mark.parametrize("objective", [RATIO, VALUE], ids=["ratio", "value"])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda stand: stand.clock.set_wall(3600.0), "this machine's clock was set 1 h forward during the run"),
        (lambda stand: stand.clock.set_wall(-0.8), "this machine's clock was set 800 ms back during the run"),
        (page("status/runtimeinfo", info("2023-11-14T22:13:45Z")), "Prometheus was restarted 25 s into the run"),
        (put(ages=[(at, 0.4 if at < 24 else at - 24.0) for at in range(37)]), "Prometheus scraped nothing for"),
        (put(ages=[(at, 0.4) for at in range(37) if not 22 <= at <= 27]), "Prometheus scraped nothing for 7 s"),
        (put(ages=[]), "Prometheus scraped nothing for"),
        (put(started=25.0), "Prometheus was restarted 25 s into the run"),
        (page("query_range", requests.ConnectionError("gone")), "does not answer: gone"),
        (page("targets", requests.ConnectionError("gone")), "does not answer: gone"),
    ],
    ids=[
        "set forward",
        "set back",
        "restarted",
        "gap",
        "missing steps",
        "all lost",
        "restarted, by its own metric",
        "gone",
        "gone from the start",
    ],
)
def test_unreliable_prometheus_data_is_inconclusive(objective: Prometheus, spoil: Spoil, reason: str) -> None:
    finding = judged(objective, spoil)
    assert finding.verdict is INCONCLUSIVE
    assert reason in finding.reason
    assert judged(objective.model_copy(update={"no_data": "broken"}), spoil).verdict is BROKEN


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (put(answer=vector("NaN")), "nan"),
        (put(answer=vector("+Inf")), "inf"),
        (put(answer=vector(0)), "total is 0"),
        (put(answer=vector()), "no series found"),
        (put(answer=vector(1, 1)), "found 2 series, expected one"),
        (put(resets=1.0), "counters were reset"),
        (put(answer=vector(40, warnings=["a store did not answer"])), "Prometheus warned: a store did not answer"),
        (put(answer=vector(40, isPartial=True)), "the server reports a partial result"),
        (put(answer=lambda asked: vector(-4 if "code" in asked.query["query"] else 40)), "good (-4) is not part of"),
    ],
    ids=["NaN", "Inf", "nothing counted", "no series", "two series", "reset", "warned", "partial", "negative"],
)
def test_a_ratio_of_bad_numbers_is_inconclusive(spoil: Spoil, reason: str) -> None:
    finding = judged(RATIO, spoil)
    assert finding.verdict is INCONCLUSIVE
    assert reason in finding.reason


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([], "no series found"),
        (values_without(23, 27), "no value for 6 s"),
        (values_without(20, 26), "no value for"),
        (values_without(27, 36), "no value for"),
        ([(at, float("nan") if at == 25 else value) for at, value in GOOD_VALUES], "not a number"),
    ],
    ids=["nothing", "a hole", "late", "early", "NaN"],
)
def test_a_reduced_value_with_holes_is_inconclusive(values: list[tuple[float, float]], reason: str) -> None:
    finding = judged(VALUE, put(values=values))
    assert finding.verdict is INCONCLUSIVE
    assert reason in finding.reason


RATE = Prometheus(name="rate", value="sum(rate(hits[5s]))", max=100, reducer="max", phases=["fault"])


def test_a_counter_that_began_again_spoils_a_reduced_rate_too() -> None:
    assert judged(RATE).verdict is HELD
    finding = judged(RATE, put(resets=1.0))
    assert finding.verdict is INCONCLUSIVE
    assert "counters were reset 1 times" in finding.reason


def test_resets_are_searched_in_the_phase_only() -> None:
    stand = Stand()
    stand.values = list(GOOD_VALUES)
    stand.look(RATE, phases=[FAULT])
    asked = [one.query["query"] for one in stand.script.queries() if "resets(" in one.query["query"]]
    assert asked == ["sum(resets(hits[10s]))"]


def test_reduced_rate_is_judged_once_its_range_is_in_the_phase() -> None:
    """What was too much before the fault is in the ranges of its first seconds."""
    assert judged(RATE, put(values=[(at, 900.0 if at < 24.9 else 1.0) for at in range(37)])).verdict is HELD
    assert judged(RATE, put(values=[(at, 900.0 if at < 25.5 else 1.0) for at in range(37)])).verdict is BROKEN


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (RATIO.model_copy(update={"good": "sum(increase(hits[5m]))"}), "found the range [5m], expected [$window]"),
        (RATE.model_copy(update={"value": "sum(rate(hits[5m]))"}), "found ranges that look back 300 s"),
        (RATE.model_copy(update={"value": "sum(rate(hits[2s]))"}), "found the range [2s], expected at least 4 s"),
    ],
    ids=["ratio", "long", "short"],
)
def test_a_query_that_looks_back_before_the_phase_is_not_judged(objective: Prometheus, reason: str) -> None:
    """Files are refused when they are read; objectives of Python tests are not known until then."""
    finding = judged(objective)
    assert finding.verdict is INCONCLUSIVE
    assert reason in finding.reason


def test_two_series_are_never_reduced_to_one() -> None:
    def both(stand: Stand) -> None:
        one = stand.script.answers["query_range"]

        def answer(asked: Any) -> Any:
            found = one(asked)
            if asked.query["query"] == "max(queue)":
                found["data"]["result"].append({"metric": {"pod": "b"}, "values": found["data"]["result"][0]["values"]})
            return found

        stand.script.answers["query_range"] = answer

    assert "found 2 series, expected one" in judged(VALUE, both).reason


def test_prometheus_clock_may_be_offset_but_must_not_step() -> None:
    """By how much it is ahead is measured at the first look; that it changes is a step."""

    def look_twice(step: float) -> Finding:
        stand = Stand(ahead=7.0)
        stand.look(RATIO, phases=[BASELINE])
        stand.ahead += step
        probe = stand.probes[-1]
        probe._phases = None
        probe.look(stand.context)
        return RATIO.judge(stand.timeline)

    assert look_twice(0.0).verdict is HELD
    assert look_twice(0.2).verdict is HELD
    stepped = look_twice(5.0)
    assert stepped.verdict is INCONCLUSIVE
    assert "Prometheus' clock was set 5 s forward during the run" in stepped.reason


def test_restart_before_the_run_or_a_later_phase_is_ignored() -> None:
    """Who restarted before the run has seen all of it; who restarted in it has not lost what came after."""
    before = page("status/runtimeinfo", info("2023-11-14T22:00:00Z"))
    assert judged(RATIO, before).verdict is HELD
    later = Prometheus(**RATIO.model_dump() | {"phases": ["recovery"]})
    assert judged(later, page("status/runtimeinfo", info("2023-11-14T22:13:45Z"))).verdict is HELD


def test_a_server_without_up_is_not_suspected_of_a_gap() -> None:
    """Who is written to by others scrapes nothing itself."""

    def no_up(stand: Stand) -> None:
        stand.ages = []
        stand.answer = lambda asked: vector() if asked.query["query"] == "count(up)" else vector(4000)

    assert judged(RATIO, no_up).verdict is HELD


def served(**load: Any) -> Story:
    return Story().requests(0, 55, rate=50).load(**load)


SHARES = [Availability(min="99%"), ErrorRate(max="1%"), Latency(share="95%", below="200ms")]


@pytest.mark.parametrize("objective", SHARES, ids=lambda each: each.kind)
@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story().load(), "no request"),
        (Story().requests(0, 10).load(), "no request"),
        (served(saturated=True), "the load generator was saturated"),
        (served(error="killed"), "the load generator failed: killed"),
        (served(offered=2800, dropped=50), "more were due and never sent"),
        (Story().requests(0, 55, rate=50), "left no summary"),
    ],
    ids=["zero requests", "only before", "saturated", "died", "dropped", "no summary"],
)
def test_load_without_measurements_is_inconclusive(objective: Any, story: Story, reason: str) -> None:
    assert objective.judge(served().timeline).verdict is HELD
    finding = objective.judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE
    assert reason in finding.reason


@pytest.mark.parametrize(
    "objective", [*SHARES, RATIO, Invariant(of=PODINFO, available=">= 1")], ids=lambda each: each.kind
)
def test_an_empty_baseline_is_no_steady_state(objective: Any) -> None:
    assert objective.judge(Story(baseline=0).requests(10, 55).load().timeline, [BASELINE]).verdict is INCONCLUSIVE
    assert objective.judge(Story().timeline, [BASELINE]).verdict is INCONCLUSIVE


@pytest.mark.parametrize("step", [-3600.0, -30.0, 30.0, 3600.0])
def test_a_wall_clock_that_was_set_makes_no_recovery_quicker(step: float) -> None:
    """Conditions bear the API server's wall time. It may widen a recovery's bounds, never pull its end forward."""
    story = Story().replicas_ready("a", "b").requests(0, 55)
    story.injected(10.0, ("podinfo-a", "a"), undone=20.0).gone(10.5, "podinfo-a", "a")
    story.pod(12.0, "podinfo-c", "c", False, event="ADDED").pod(25.0, "podinfo-c", "c", since=24.0 + step)
    story.endpoints(10.5, "b").endpoints(25.2, "b", "c", wall=24.0 + step).load()
    finding = RecoveryTime(of=PODINFO, max="10s").judge(story.timeline)
    assert finding.verdict is not HELD
    assert RecoveryTime(of=PODINFO, max="20s").judge(story.timeline).verdict is HELD


@pytest.mark.parametrize("series", ["workloads", "endpoints"])
def test_a_gap_in_a_watch_holds_no_invariant(series: str) -> None:
    of = PODINFO if series == "workloads" else "service/podinfo"
    story = Story().endpoints(1.0, "a").add("workloads", PODINFO, 1.0, {"ready": 3})
    objective = Invariant(of=of, ready=">= 1", phases=[FAULT])
    assert objective.judge(story.timeline).verdict is HELD
    assert objective.judge(story.gap(series, 12.0, 16.0, complete=False).timeline).verdict is INCONCLUSIVE


@pytest.mark.parametrize(("first", "verdict"), [(5, HELD), (18, INCONCLUSIVE)])
def test_target_may_appear_late_but_not_too_late_in_the_baseline(first: int, verdict: Verdict) -> None:
    stand = Stand()
    stand.values = [(at, value) for at, value in GOOD_VALUES if at >= first]
    stand.look(VALUE)
    assert VALUE.judge(stand.timeline, [BASELINE]).verdict is verdict

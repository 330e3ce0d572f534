"""The chart's arithmetic: bins by intended start, percentiles of what succeeded, steps that hold."""

from __future__ import annotations

import math

import pytest

from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Injection, Interval, Observation, Phase, Timeline
from harness.results.reporting.chart import MAX_BINS, build_chart


def timeline(*phases: Phase) -> Timeline:
    made = Timeline(origin=0.0, wall_origin=0.0)
    made.phases = list(phases)
    return made


def request(intended: float, latency: float = 0.01, ok: bool = True) -> RequestSample:
    return RequestSample(intended, intended, intended + latency, ok, "ok" if ok else "503", "GET /")


def test_requests_are_counted_in_their_intended_second() -> None:
    """A request that was due in the first second and answered in the third counts in the first."""
    made = timeline(Phase("baseline", 10.0, 12.0), Phase("fault", 12.0, 13.4))
    made.requests = Requests([request(10.0), request(10.999, latency=2.5), request(11.0, ok=False), request(13.2)])
    chart = build_chart(made)
    assert (chart.start, chart.bin) == (10.0, 1.0)
    assert chart.good == [2, 0, 0, 1]
    assert chart.failed == [0, 1, 0, 0]


def test_no_bin_has_requests_from_before_and_after_the_fault() -> None:
    """The baseline takes a little more than its seconds, so the first bin starts before it."""
    made = timeline(Phase("baseline", 10.0, 12.1), Phase("fault", 12.1, 14.0))
    made.injections = [Injection("podKill", (), Interval(12.1, 12.2))]
    made.requests = Requests([request(at, ok=at != 12.11) for at in (9.99, 10.0, 10.2, 12.09, 12.11, 13.9)])
    chart = build_chart(made)
    assert chart.start == pytest.approx(9.1)
    assert chart.good == [1, 1, 1, 0, 1]
    assert chart.failed == [0, 0, 0, 1, 0]


def test_requests_outside_all_phases_are_not_drawn() -> None:
    made = timeline(Phase("baseline", 10.0, 12.0))
    made.requests = Requests([request(9.99), request(11.5), request(12.0)])
    assert build_chart(made).good == [0, 1]


def test_latency_counts_successful_requests_only() -> None:
    made = timeline(Phase("baseline", 0.0, 2.0))
    good = [request(0.1, latency=share / 100) for share in range(1, 101)]
    made.requests = Requests([*good, *[request(0.2, latency=0.0001, ok=False)] * 500])
    chart = build_chart(made)
    assert [round(value or 0, 6) for value in (chart.p50[0], chart.p95[0])] == [0.5, 0.95]
    assert (chart.p50[1], chart.p95[1]) == (None, None)


def test_without_load_there_are_steps_and_no_requests() -> None:
    made = timeline(Phase("baseline", 0.0, 5.0))
    made.add(Observation("workloads", "deployment/web", 1.0, {"ready": 2}))
    chart = build_chart(made)
    assert (chart.good, chart.failed, chart.p50, chart.p95) == ([], [], [], [])
    assert chart.steps == {"deployment/web ready": [(1.0, 2.0)]}


def test_steps_start_with_the_phase_and_contain_only_changes() -> None:
    """The value in force when the first phase begins opens the line; errors and repetitions add nothing."""
    made = timeline(Phase("baseline", 10.0, 20.0))
    for at, ready in [(1.0, 1), (2.0, 3), (11.0, 3), (12.0, 2), (12.0, 1), (25.0, 9)]:
        made.add(Observation("workloads", "deployment/web", at, {"ready": ready}))
    made.add(Observation("workloads", "deployment/web", 13.0, error="watch lost"))
    made.add(Observation("autoscalers", "hpa/web", 14.0, {"desired": 5}))
    made.add(Observation("endpoints", "web", 15.0, {"ready": ["a", "b"], "all": ["a", "b", "c"]}))
    assert build_chart(made).steps == {
        "deployment/web ready": [(10.0, 3.0), (12.0, 1.0)],
        "hpa/web desired": [(14.0, 5.0)],
        "web endpoints": [(15.0, 2.0)],
    }


def test_shortened_run_is_drawn_up_to_the_last_observation() -> None:
    made = timeline(Phase("baseline", 0.0, 2.0), Phase("fault", 2.0, math.inf))
    made.requests = Requests([request(3.2, latency=1.5)])
    chart = build_chart(made)
    assert chart.good == [0, 0, 0, 1, 0]


def test_empty_run_gives_an_empty_chart() -> None:
    chart = build_chart(timeline())
    assert (chart.good, chart.steps) == ([], {})


def test_a_long_soak_widens_its_bins() -> None:
    made = timeline(Phase("baseline", 0.0, 3.5 * MAX_BINS))
    made.requests = Requests([request(0.5), request(3.9), request(4.0)])
    chart = build_chart(made)
    assert chart.bin == 4.0
    assert len(chart.good) <= MAX_BINS
    assert chart.good[:2] == [2, 1]


def test_unknown_numbers_are_not_drawn_as_zero() -> None:
    made = timeline(Phase("baseline", 10.0, 20.0))
    for at, desired in ((11.0, 0), (12.0, 2), (13.0, None)):
        made.add(Observation("autoscalers", "hpa/web", at, {"desired": desired, "min": 1, "conditions": {}}))
    assert build_chart(made).steps == {"hpa/web desired": [(12.0, 2.0)]}

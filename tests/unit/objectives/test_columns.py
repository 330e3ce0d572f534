"""What the objectives compute from columns is what a loop over the requests computes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as some

from harness.model.closed_model import with_unsent
from harness.model.phase_names import BASELINE, FAULT
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import LoadSummary, Phase, Timeline
from harness.objectives.availability import Availability
from harness.objectives.error_rate import ErrorRate
from harness.objectives.latency import Latency
from harness.results.reporting.chart import build_chart
from harness.stats.bounds import percentile


@some.composite
def timelines(draw: some.DrawFn) -> Timeline:
    """A baseline of 10 s and a fault of 10 s, with any requests in them and outside."""
    times = some.floats(-1, 21).map(lambda at: round(at, 3))
    lengths = some.floats(0, 5).map(lambda seconds: round(seconds, 3))
    found = []
    for due in draw(some.lists(times, max_size=60)):
        late, took, outcome = draw(lengths), draw(lengths), draw(some.sampled_from(["ok", "ok", "503", "timeout"]))
        found.append(RequestSample(due, due + late, due + late + took, outcome == "ok", outcome, "GET /"))
    timeline = Timeline(0.0, 0.0, phases=[Phase(BASELINE, 0.0, 10.0), Phase(FAULT, 10.0, 20.0)])
    timeline.requests = Requests(sorted(found, key=lambda one: one.finished))
    timeline.load = LoadSummary(len(found), len(found), model="closed", users=[(0.0, 2)])
    return timeline


def due_in_fault(timeline: Timeline) -> list[RequestSample]:
    return [one for one in timeline.requests if 10.0 <= one.intended < 20.0]


@settings(deadline=None)
@given(timelines())
def test_counts_of_shares_are_those_of_a_loop(timeline: Timeline) -> None:
    due = due_in_fault(timeline)
    good = [one for one in due if one.ok]
    available = Availability(min="90%").judge(timeline, [FAULT])
    assert (available.samples or 0, available.good or 0) == (len(due), len(good))
    failed = Counter(f"failed: {one.outcome}" for one in due if not one.ok)
    assert {name: int(count) for name, count in available.detail.items() if name in failed} == failed
    late = ErrorRate(max="10%", kinds=("timeout",)).judge(timeline, [FAULT])
    assert (late.samples or 0) - (late.good or 0) == sum(one.outcome == "timeout" for one in due)
    fast = Latency(share="50%", below="1s").judge(timeline, [FAULT])
    assert (fast.samples or 0, fast.good or 0) == (len(good), sum(one.latency < 1.0 for one in good))


@settings(deadline=None)
@given(timelines(), some.floats(0.1, 3.0))
def test_unsent_requests_are_those_of_a_loop(timeline: Timeline, below: float) -> None:
    baseline = [one for one in timeline.requests if 0.0 <= one.intended < 10.0]
    objective = Latency(share="50%", below=below)
    found = with_unsent(timeline, [FAULT], objective.evaluated, objective.counts_against)
    if not baseline:
        assert found is None
        return
    interval = 20.0 / len(baseline)
    took = [one.finished - one.started for one in due_in_fault(timeline) if one.ok]
    hidden = [max(0, int(seconds // interval) - 1) for seconds in took]
    bad = sum(
        seconds - k * interval >= below + 1e-9
        for seconds, count in zip(took, hidden, strict=True)
        for k in range(count + 1)
    )
    most = sum(
        seconds - k * interval >= below - 1e-9
        for seconds, count in zip(took, hidden, strict=True)
        for k in range(count + 1)
    )
    assert found is not None
    assert bad <= found[0] <= most
    assert abs(found[1] - len(took) - sum(hidden)) <= sum(abs(s / interval - round(s / interval)) < 1e-9 for s in took)


@settings(deadline=None)
@given(timelines())
def test_bins_of_the_chart_are_those_of_a_loop(timeline: Timeline) -> None:
    chart = build_chart(timeline)
    shown = [one for one in timeline.requests if 0.0 <= one.intended < 20.0]
    if not timeline.requests:
        assert chart.good == []
        return
    for index in range(20):
        within = [one for one in shown if int(one.intended) == index]
        latencies = [one.latency for one in within if one.ok]
        assert (chart.good[index], chart.failed[index]) == (len(latencies), len(within) - len(latencies))
        assert chart.p95[index] == (percentile(latencies, 0.95) if latencies else None)

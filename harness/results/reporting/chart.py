"""The chart of an experiment as numbers: the results of the load and the states of the controllers on one time axis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

from harness.common.naming import LOAD_SERVICE
from harness.model.reported import Status, Unknown
from harness.model.timeline import Observation, Phase, ProbeStream, Timeline
from harness.results.record import ChartRecord
from harness.stats.bounds import percentile

# A bin is one second, or longer if there would be more bins than this: no reader could see a difference.
MAX_BINS = 3600


def build_chart(timeline: Timeline) -> ChartRecord:
    """Bin the requests by intended start, from the start of the first phase to the end of the last, and add step lines.

    A bin starts at the first injection, so that no bin has requests from before and after it; the first bin may then
    start before the first phase.
    Without load, requests and latencies are empty. Latency (p50, p95, seconds) is that of successful requests only: a
    refused connection is fast, and would make an outage look like an improvement. Step lines start with the value in
    force at the start of the first phase.
    """
    if not timeline.phases:
        return ChartRecord()
    start, end = span_of(timeline)
    width = float(max(1, math.ceil((end - start) / MAX_BINS)))
    injected = timeline.injected()
    before = math.ceil((injected.low - start) / width) if injected and injected.low > start else 0
    first = injected.low - before * width if injected and before else start
    chart = ChartRecord(bin=width, start=first, steps=_all_steps(timeline, Phase("all", start, end)))
    chart.probes = {stream.name: _failing(stream, start, end) for stream in timeline.probes}
    if timeline.requests:
        _bin_requests(chart, timeline, max(1, math.ceil((end - first) / width)), Phase("all", start, end))
    return chart


def _failing(stream: ProbeStream, start: float, end: float) -> list[tuple[float, float]]:
    """Return the spans from the start of a first failed probe to the start of the next good one, within the chart."""
    spans: list[tuple[float, float]] = []
    began: float | None = None
    for probe in sorted(stream.seen, key=lambda probe: probe.started):
        if not probe.ok and began is None:
            began = probe.started
        elif probe.ok and began is not None:
            spans.append((began, probe.started))
            began = None
    if began is not None:
        spans.append((began, end))
    return [(max(start, low), min(end, high)) for low, high in spans if high > start and low < end]


def span_of(timeline: Timeline) -> tuple[float, float]:
    """Return the start of the first phase and the end of the last, or the last observation of an interrupted run."""
    start = min(phase.start for phase in timeline.phases)
    end = max(phase.end for phase in timeline.phases)
    if math.isfinite(end):
        return start, end
    seen = [observation.at for observation in timeline] + [request.finished for request in timeline.requests]
    begun = [phase.start for phase in timeline.phases]
    return start, max(seen + begun)


def _bin_requests(chart: ChartRecord, timeline: Timeline, bins: int, span: Phase) -> None:
    chart.good, chart.failed = [0] * bins, [0] * bins
    latencies: list[list[float]] = [[] for _ in range(bins)]
    for request in timeline.requests:
        if not span.start <= request.intended < span.end:
            continue
        # Float rounding can give the last request an index beyond the last bin.
        index = min(bins - 1, int((request.intended - chart.start) / chart.bin))
        if request.ok:
            chart.good[index] += 1
            latencies[index].append(request.latency)
        else:
            chart.failed[index] += 1
    chart.p50 = [percentile(values, 0.50) if values else None for values in latencies]
    chart.p95 = [percentile(values, 0.95) if values else None for values in latencies]


def _all_steps(timeline: Timeline, span: Phase) -> dict[str, list[tuple[float, float]]]:
    return {
        **_steps(timeline, span, "workloads", "ready", lambda seen: _reported(seen, "ready")),
        **_steps(timeline, span, "autoscalers", "desired", lambda seen: _reported(seen, "desired")),
        **_steps(timeline, span, "endpoints", "endpoints", lambda seen: len(seen.value.get("ready") or ())),
    }


def _reported(seen: Observation, key: str) -> float | None:
    """Return the number to draw: that is certain for a deleted workload (0), and None for an unknown number."""
    number = Status(seen.subject, seen.at, seen.value).count(key)
    return number.counted if isinstance(number, Unknown) else number


def _steps(
    timeline: Timeline,
    span: Phase,
    series: str,
    noun: str,
    number: Callable[[Observation], float | None],
) -> dict[str, list[tuple[float, float]]]:
    """Return one step line per subject with its changes. At an error or an unknown number the line stays unchanged."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seen in sorted(timeline.observations(series), key=lambda seen: seen.at):
        # The harness creates the LOAD_SERVICE only so that Prometheus finds the load generator; it is not part of the
        # workload.
        if seen.at > span.end or not isinstance(seen.value, dict) or seen.subject.endswith(LOAD_SERVICE):
            continue
        value = number(seen)
        if value is None:
            continue
        line, at = lines[f"{seen.subject} {noun}"], max(seen.at, span.start)
        # States from before the first phase are all moved to its start, and only the last of them is in force there.
        if line and line[-1][0] == at:
            line.pop()
        if not line or line[-1][1] != value:
            line.append((at, value))
    return dict(lines)

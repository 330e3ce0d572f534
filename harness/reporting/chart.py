"""The time-aligned chart of an experiment as numbers: what the load saw, and what the controllers did, on one axis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from harness.observation import Phase, ProbeStream, Timeline
from harness.record import ChartRecord
from harness.statistics import percentile

# A bin is a second, until a run is so long that more bins than this would say nothing that a reader could see.
MAX_BINS = 3600


def build_chart(timeline: Timeline) -> ChartRecord:
    """Bin the requests by intended start, from the first phase's start to the last one's end, and gather step lines.

    Requests and latencies stay empty when there was no load. Latency (p50, p95, seconds) is that of successful
    requests alone: a refused connection is fast, and would make an outage look like an improvement. Steps begin with
    the value that was in force when the first phase began.
    """
    if not timeline.phases:
        return ChartRecord()
    start, end = span_of(timeline)
    width = float(max(1, math.ceil((end - start) / MAX_BINS)))
    chart = ChartRecord(bin=width, start=start, steps=_all_steps(timeline, Phase("all", start, end)))
    chart.probes = {stream.name: _failing(stream, start, end) for stream in timeline.probes}
    if timeline.requests:
        _bin_requests(chart, timeline, max(1, math.ceil((end - start) / width)), end)
    return chart


def _failing(stream: ProbeStream, start: float, end: float) -> list[tuple[float, float]]:
    """The spans from a first failed probe's start to the next good one's, within the chart."""
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
    """From the first phase's start to the last one's end, or to the last thing seen when a run was cut within it."""
    start = min(phase.start for phase in timeline.phases)
    end = max(phase.end for phase in timeline.phases)
    if math.isfinite(end):
        return start, end
    seen = [observation.at for observation in timeline] + [request.finished for request in timeline.requests]
    begun = [phase.start for phase in timeline.phases]
    return start, max(seen + begun)


def _bin_requests(chart: ChartRecord, timeline: Timeline, bins: int, end: float) -> None:
    chart.good, chart.failed = [0] * bins, [0] * bins
    latencies: list[list[float]] = [[] for _ in range(bins)]
    for request in timeline.requests:
        if not chart.start <= request.intended < end:
            continue
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
        **_steps(timeline, span, "workloads", "ready", lambda value: value.get("ready")),
        **_steps(timeline, span, "autoscalers", "desired", lambda value: value.get("desired")),
        **_steps(timeline, span, "endpoints", "endpoints", lambda value: len(value.get("ready") or ())),
    }


def _steps(
    timeline: Timeline,
    span: Phase,
    series: str,
    noun: str,
    number: Callable[[dict[str, Any]], float | None],
) -> dict[str, list[tuple[float, float]]]:
    """One step line a subject: its value wherever it changed. An error is no value: the line goes on unchanged."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for seen in sorted(timeline.observations(series), key=lambda seen: seen.at):
        if seen.at > span.end or not isinstance(seen.value, dict):
            continue
        value = float(number(seen.value) or 0)
        line, at = lines[f"{seen.subject} {noun}"], max(seen.at, span.start)
        if line and line[-1][0] == at:
            line.pop()
        if not line or line[-1][1] != value:
            line.append((at, value))
    return dict(lines)

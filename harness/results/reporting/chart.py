"""The chart of an experiment as numbers: the results of the load and the states of the controllers on one time axis."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from harness.common.naming import LOAD_SERVICE
from harness.model.reported import Status, Unknown
from harness.model.timeline import Observation, Phase, ProbeStream, Timeline
from harness.results.record import ChartRecord
from harness.stats.bounds import nearest_rank

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
    order = np.argsort(stream.seen.started, kind="stable")
    started, ok = stream.seen.started[order], stream.seen.ok[order]
    # Where a probe has another result than the one before it; the first one counts only if it failed.
    for index in np.flatnonzero(np.diff(ok, prepend=True)):
        if began is None:
            began = float(started[index])
        else:
            spans.append((began, float(started[index])))
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
    seen = [*(observation.at for observation in timeline), *(phase.start for phase in timeline.phases)]
    seen += [float(timeline.requests.finished.max())] if timeline.requests else []
    return start, max(seen)


def _bin_requests(chart: ChartRecord, timeline: Timeline, bins: int, span: Phase) -> None:
    requests = timeline.requests.due_in([(span.start, span.end)])
    # Float rounding can give the last request an index beyond the last bin.
    indexes = np.minimum(bins - 1, ((requests.intended - chart.start) / chart.bin).astype(np.intp))
    ok = requests.ok
    chart.good = np.bincount(indexes[ok], minlength=bins).tolist()
    chart.failed = np.bincount(indexes[~ok], minlength=bins).tolist()
    # Numbers of 16 bits are sorted in linear time, and there are at most MAX_BINS and one.
    order = np.argsort(indexes[ok].astype(np.uint16), kind="stable")
    parts = [np.sort(part) for part in np.split(requests.latency[ok][order], np.cumsum(chart.good)[:-1])]
    chart.p50 = [float(part[nearest_rank(len(part), 0.50)]) if len(part) else None for part in parts]
    chart.p95 = [float(part[nearest_rank(len(part), 0.95)]) if len(part) else None for part in parts]


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

"""The panels of an experiment's chart on one time axis: the users' view at the top, the controllers' below.

Every panel has a heading that names its curves, an axis column and a plot. No information is shown by colour alone:
failures are stacked on top of successes and also given as a number, curves have different dashes, faults are numbered
triangles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from markupsafe import Markup

from harness.results.record import ChartRecord, ClockRecord, ExperimentRecord
from harness.results.reporting import figures, overview
from harness.results.reporting.frame import Panel, phase_panel, plot, time_panel, value_axis, zero_of
from harness.results.reporting.probe_panel import probe_panel
from harness.results.reporting.svg import Scale, Span, area, element, linear, logarithmic, stroke

MAX_COLUMNS = 240
MAX_STEP_LINES = 6
MAX_CLOCKS = 8
# If the slowest second is this many times slower than the usual one, a linear axis would hide the usual latency.
LOGARITHMIC_FROM = 12
LANE = 20


@dataclass(frozen=True, slots=True)
class Column:
    """One bar: the rates over whole bins, the median of their p50 and the maximum of their p95 latencies."""

    start: float
    end: float
    good: float
    failed: float
    p50: float | None
    p95: float | None


def panels(record: ExperimentRecord) -> list[Panel]:
    """Return the panels of an experiment from top to bottom; empty if there is nothing to draw."""
    span = _span(record)
    if span is None or record.chart is None:
        return []
    columns = _columns(record.chart, span)
    control = _columns(record.control.chart, span) if record.control and record.control.chart else []
    drawn = [phase_panel(record, span)]
    if any(column.good or column.failed for column in columns):
        drawn.append(_requests(record, span, columns, control))
    if any(column.p95 is not None for column in columns):
        drawn.append(_latency(record, span, columns, control))
    if record.chart.probes:
        drawn.append(probe_panel(record, span, record.chart))
    if record.chart.steps:
        drawn.append(_replicas(record, span, record.chart))
    if any(clock.began is not None for clock in record.recovery):
        drawn.append(_clocks(record, span))
    return [*drawn, time_panel(span)]


def _span(record: ExperimentRecord) -> Span | None:
    chart = record.chart
    starts = [phase.start for phase in record.phases]
    ends = [phase.end for phase in record.phases if phase.end is not None]
    if chart and len(ends) < len(starts):
        ends.append(chart.start + chart.bin * len(chart.good))
        ends.extend(line[-1][0] for line in chart.steps.values() if line)
    if not starts or not ends or max(ends) <= min(starts):
        return None
    return Span(min(starts), max(ends), zero_of(record))


def _columns(chart: ChartRecord, span: Span) -> list[Column]:
    bins = min(len(chart.good), len(chart.failed), len(chart.p50), len(chart.p95))
    width = max(1, math.ceil(bins / MAX_COLUMNS))
    columns: list[Column] = []
    # A column starts at the fault, as a bin does: a failure after it is not drawn before it.
    fault = round((span.zero - chart.start) / chart.bin)
    firsts = sorted({0, *range(fault % width, bins, width)}) if bins else []
    visible = chart.start + firsts[1] * chart.bin - span.start if len(firsts) > 1 else math.inf
    if visible < chart.bin / 2 and firsts[1] != fault:
        # The part of the first bin after the start of the first phase is too short for a rate.
        del firsts[1]
    for first, last in pairwise([*firsts, bins]):
        # The first bin may start before the first phase.
        start = max(chart.start + first * chart.bin, span.start)
        end = min(chart.start + last * chart.bin, span.end)
        if end - start < chart.bin / 2 and columns:
            # The part of a bin before the end of the last phase is too short for a rate: the previous column is
            # extended, and includes its failures.
            lost = sum(chart.failed[first:last]) / chart.bin
            columns[-1] = replace(columns[-1], end=end, failed=max(columns[-1].failed, lost))
            continue
        seconds = max(end - start, 1e-9)
        p50 = [value for value in chart.p50[first:last] if value is not None]
        p95 = [value for value in chart.p95[first:last] if value is not None]
        good, failed = sum(chart.good[first:last]) / seconds, sum(chart.failed[first:last]) / seconds
        columns.append(Column(start, end, good, failed, median(p50) if p50 else None, max(p95, default=None)))
    return columns


def _requests(record: ExperimentRecord, span: Span, columns: list[Column], control: list[Column]) -> Panel:
    scale = linear(max(column.good + column.failed for column in [*columns, *control]), 104)
    good = [(span.x(c.start), span.x(c.end), scale.y(c.good), float(scale.height)) for c in columns]
    failed = [
        # A single failed request among thousands must be visible, so the bar is at least two pixels high.
        (span.x(c.start), span.x(c.end), min(scale.y(c.good + c.failed), scale.y(c.good) - 2), scale.y(c.good))
        for c in columns
        if c.failed
    ]
    lost = sum(record.chart.failed) if record.chart else 0
    worst = max(columns, key=lambda column: column.failed)
    label = "none failed"
    if lost:
        place = figures.offset(worst.start - span.zero)
        label = f"{figures.count(lost)} failed, most at {place}: {round(worst.failed)} a second"
    keys = [("good", "answered"), ("failed", label)]
    shapes = [area(good, "good"), area(failed, "failed")]
    if control:
        unharmed = sum(record.control.chart.failed) if record.control and record.control.chart else 0
        beside = f"control arm, answered; {figures.count(unharmed) if unharmed else 'none'} failed"
        keys.append(("control", beside))
        shapes.append(stroke([(span.x(c.start), span.x(c.end), scale.y(c.good)) for c in control], "control"))
        label += f"; {beside}"
    drawn = plot(record, span, scale, f"Requests a second: {label}", *shapes)
    return Panel("Requests a second", keys, value_axis(scale, lambda tick: f"{tick:g}"), drawn)


def _latency(record: ExperimentRecord, span: Span, columns: list[Column], control: list[Column]) -> Panel:
    slow = [column.p95 for column in [*columns, *control] if column.p95]
    fast = [column.p50 for column in columns if column.p50]
    usual = median(slow) if slow else 0.0
    if fast and max(slow) > LOGARITHMIC_FROM * usual:
        scale, title = logarithmic(min(fast), max(slow), 84), "Latency, logarithmic"
    else:
        scale, title = linear(max(slow, default=0.0), 84), "Latency"
    lines = [
        stroke([None if c.p50 is None else (span.x(c.start), span.x(c.end), scale.y(c.p50)) for c in columns], "p50"),
        stroke([None if c.p95 is None else (span.x(c.start), span.x(c.end), scale.y(c.p95)) for c in columns], "p95"),
    ]
    worst = f"p95, at worst {figures.seconds(max((column.p95 or 0.0 for column in columns), default=0.0))}"
    keys = [("p95", worst), ("p50", "p50 of the answered requests")]
    if control:
        keys.append(("control", "p95 of the control arm"))
        points = [None if c.p95 is None else (span.x(c.start), span.x(c.end), scale.y(c.p95)) for c in control]
        lines.append(stroke(points, "control"))
    drawn = plot(record, span, scale, f"{title} of the answered requests: {worst}", *lines)
    return Panel(title, keys, value_axis(scale, figures.seconds), drawn)


def _replicas(record: ExperimentRecord, span: Span, chart: ChartRecord) -> Panel:
    # Prefer the lines with the most changes: flat ones are left out first.
    names = sorted(chart.steps, key=lambda name: -len(chart.steps[name]))[:MAX_STEP_LINES]
    names.sort(key=list(chart.steps).index)
    scale = linear(max((value for name in names for _, value in chart.steps[name]), default=0.0), 72)
    lines, keys = [], []
    for number, name in enumerate(names):
        line = chart.steps[name]
        ends = [at for at, _ in line[1:]] + [span.end]
        # Lines with the same value would hide each other, so each is drawn slightly above the one before it.
        shift = 2.2 * number - 2
        levels = zip(line, ends, strict=True)
        points = [(span.x(at), span.x(end), max(1.0, scale.y(value) - shift)) for (at, value), end in levels]
        lines.append(stroke(points, f"step{number}"))
        lowest, highest = min(value for _, value in line), max(value for _, value in line)
        moved = f"{lowest:g} to {highest:g}" if lowest != highest else f"{lowest:g} throughout"
        keys.append((f"step{number}", f"{name} ({moved})"))
    if len(chart.steps) > len(names):
        keys.append(("none", f"{len(chart.steps) - len(names)} further lines not drawn"))
    label = "Replicas: " + "; ".join(text for _, text in keys)
    # Replicas are whole numbers, so a tick between two of them would be meaningless.
    whole = [tick for tick in scale.ticks() if tick == int(tick)]
    return Panel(
        "Replicas", keys, value_axis(scale, lambda tick: f"{tick:g}", whole), plot(record, span, scale, label, *lines)
    )


def _clocks(record: ExperimentRecord, span: Span) -> Panel:
    order = overview.clocks(record)[:MAX_CLOCKS]
    height = LANE * len(order) + 4
    names = [clock.clock for clock in order]
    bars = [_clock(clock, span, LANE * index + 2, names.count(clock.clock) > 1) for index, clock in enumerate(order)]
    label = "Disruption: " + "; ".join(f"{clock.clock}: {overview.clock_text_in_full(clock)}" for clock in order)
    drawn = plot(record, span, Scale(1.0, height), label, above=bars, grid=False)
    return Panel("Disruption, as each clock saw it", [], element("svg", class_="axis", height=height), drawn)


def _clock(clock: ClockRecord, span: Span, y: int, one_of_many: bool) -> Markup:
    subject = f" {clock.subject}" if one_of_many else ""
    text = f"{clock.clock}{subject}: {overview.clock_text_in_full(clock)}"
    if clock.began is None:
        return element("text", text, x=span.percent(span.zero), dx=6, y=y + 13, class_="lane")
    end = clock.ended if clock.ended is not None else span.end
    # An outage of a few milliseconds would be narrower than a pixel, but must be visible.
    width = f"{max(0.3, (span.share(end) - span.share(clock.began)) * 100):.2f}%"
    bar = element("rect", x=span.percent(clock.began), width=width, y=y + 3, height=12, rx=2, class_="outage")
    # There is no room for the text on the right of a bar that ends in the last part of the plot.
    if span.share(end) > 0.6:
        return bar + element("text", text, x=span.percent(clock.began), dx=-6, y=y + 13, class_="lane end")
    return bar + element("text", text, x=span.percent(end), dx=6, y=y + 13, class_="lane")

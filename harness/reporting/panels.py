"""The panels of an experiment's chart, stacked on one time axis: what users saw above, what controllers did below.

Every panel is a heading that names its curves, an axis column, and a plot. Colour never stands alone: failures stack on
top of successes and are counted in words, curves differ by dash, faults are numbered triangles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from markupsafe import Markup

from harness.record import ChartRecord, ClockRecord, ExperimentRecord, PhaseRecord
from harness.reporting import figures, overview
from harness.reporting.svg import Scale, Span, area, curves, element, linear, logarithmic, nice, stroke

MAX_COLUMNS = 240
MAX_STEP_LINES = 6
# Beyond this ratio of the slowest second to the usual one, a linear axis would press the usual one flat.
LOGARITHMIC_FROM = 12
LANE = 20


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of the chart: ``keys`` are (class of the swatch, text); axis and plot are finished SVG."""

    title: str
    keys: list[tuple[str, str]]
    axis: Markup
    plot: Markup


@dataclass(frozen=True, slots=True)
class Column:
    """What one bar stands for: the sum over whole bins, and the latencies of its worst and its middle one."""

    start: float
    end: float
    good: float
    failed: float
    p50: float | None
    p95: float | None


def zero_of(record: ExperimentRecord) -> float:
    """The instant that times count from: the first fault, or the first phase's start when nothing was injected."""
    injected = [fault.injected.low for fault in record.faults if fault.injected]
    return min(injected or [phase.start for phase in record.phases], default=0.0)


def panels(record: ExperimentRecord) -> list[Panel]:
    """The chart of an experiment, from top to bottom; nothing when there is nothing to draw."""
    span = _span(record)
    if span is None or record.chart is None:
        return []
    columns = _columns(record.chart, span)
    drawn = [_phases(record, span)]
    if any(column.good or column.failed for column in columns):
        drawn.append(_requests(record, span, columns))
    if any(column.p95 is not None for column in columns):
        drawn.append(_latency(record, span, columns))
    if record.chart.steps:
        drawn.append(_replicas(record, span, record.chart))
    if any(clock.began is not None for clock in record.recovery):
        drawn.append(_clocks(record, span))
    return [*drawn, _time_axis(span)]


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
    for first in range(0, bins, width):
        last = min(bins, first + width)
        start, end = chart.start + first * chart.bin, min(chart.start + last * chart.bin, span.end)
        if end - start < chart.bin / 2 and columns:
            # The rest of a bin after the last phase's end: too short for a rate, so the column before it goes on.
            continue
        seconds = max(end - start, 1e-9)
        p50 = [value for value in chart.p50[first:last] if value is not None]
        p95 = [value for value in chart.p95[first:last] if value is not None]
        good, failed = sum(chart.good[first:last]) / seconds, sum(chart.failed[first:last]) / seconds
        columns.append(Column(start, end, good, failed, median(p50) if p50 else None, max(p95, default=None)))
    return columns


def _requests(record: ExperimentRecord, span: Span, columns: list[Column]) -> Panel:
    scale = linear(max(column.good + column.failed for column in columns), 104)
    good = [(span.x(c.start), span.x(c.end), scale.y(c.good), float(scale.height)) for c in columns]
    failed = [
        # One failed request among thousands is still drawn: two pixels at the least.
        (span.x(c.start), span.x(c.end), min(scale.y(c.good + c.failed), scale.y(c.good) - 2), scale.y(c.good))
        for c in columns
        if c.failed
    ]
    lost = sum(record.chart.failed) if record.chart else 0
    worst = max(columns, key=lambda column: column.failed)
    said = "none failed"
    if lost:
        place = figures.offset(worst.start - span.zero)
        said = f"{figures.count(lost)} failed, most at {place}: {round(worst.failed)} a second"
    keys = [("good", "answered"), ("failed", said)]
    plot = _plot(record, span, scale, f"Requests a second: {said}", area(good, "good"), area(failed, "failed"))
    return Panel("Requests a second", keys, _axis(scale, lambda tick: f"{tick:g}"), plot)


def _latency(record: ExperimentRecord, span: Span, columns: list[Column]) -> Panel:
    slow = [column.p95 for column in columns if column.p95]
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
    worst = f"p95, at worst {figures.seconds(max(slow, default=0.0))}"
    keys = [("p95", worst), ("p50", "p50 of the answered requests")]
    plot = _plot(record, span, scale, f"{title} of the answered requests: {worst}", *lines)
    return Panel(title, keys, _axis(scale, figures.seconds), plot)


def _replicas(record: ExperimentRecord, span: Span, chart: ChartRecord) -> Panel:
    # Lines that moved tell the story; the longest flat ones are left out first.
    names = sorted(chart.steps, key=lambda name: -len(chart.steps[name]))[:MAX_STEP_LINES]
    names.sort(key=list(chart.steps).index)
    scale = linear(max((value for name in names for _, value in chart.steps[name]), default=0.0), 72)
    lines, keys = [], []
    for number, name in enumerate(names):
        line = chart.steps[name]
        ends = [at for at, _ in line[1:]] + [span.end]
        # Lines of one value would hide each other: each is drawn a little above the one before it.
        shift = 2.2 * number - 2
        levels = zip(line, ends, strict=True)
        points = [(span.x(at), span.x(end), max(1.0, scale.y(value) - shift)) for (at, value), end in levels]
        lines.append(stroke(points, f"step{number}"))
        lowest, highest = min(value for _, value in line), max(value for _, value in line)
        moved = f"{lowest:g} to {highest:g}" if lowest != highest else f"{lowest:g} throughout"
        keys.append((f"step{number}", f"{name} ({moved})"))
    if len(chart.steps) > len(names):
        keys.append(("none", f"{len(chart.steps) - len(names)} further lines not drawn"))
    said = "Replicas: " + "; ".join(text for _, text in keys)
    whole = [tick for tick in scale.ticks() if tick == int(tick)]
    return Panel(
        "Replicas", keys, _axis(scale, lambda tick: f"{tick:g}", whole), _plot(record, span, scale, said, *lines)
    )


def _clocks(record: ExperimentRecord, span: Span) -> Panel:
    order = sorted(record.recovery, key=lambda clock: overview.CLOCKS.index(clock.clock))[:8]
    height = LANE * len(order) + 4
    names = [clock.clock for clock in order]
    bars = [_clock(clock, span, LANE * index + 2, names.count(clock.clock) > 1) for index, clock in enumerate(order)]
    said = "Disruption: " + "; ".join(f"{clock.clock}: {overview.recovery_text(clock)}" for clock in order)
    plot = _plot(record, span, Scale(1.0, height), said, above=bars, grid=False)
    return Panel("Disruption, as each clock saw it", [], element("svg", class_="axis", height=height), plot)


def _clock(clock: ClockRecord, span: Span, y: int, one_of_many: bool) -> Markup:
    subject = f" {clock.subject}" if one_of_many else ""
    text = f"{clock.clock}{subject}: {overview.recovery_text(clock)}"
    if clock.began is None:
        return element("text", text, x=span.percent(span.zero), dx=6, y=y + 13, class_="lane")
    end = clock.ended if clock.ended is not None else span.end
    width = f"{max(0.3, (span.share(end) - span.share(clock.began)) * 100):.2f}%"
    bar = element("rect", x=span.percent(clock.began), width=width, y=y + 3, height=12, rx=2, class_="outage")
    if span.share(end) > 0.6:
        return bar + element("text", text, x=span.percent(clock.began), dx=-6, y=y + 13, class_="lane end")
    return bar + element("text", text, x=span.percent(end), dx=6, y=y + 13, class_="lane")


def _phases(record: ExperimentRecord, span: Span) -> Panel:
    lanes = _lanes(record, span)
    height = 20 + 18 * (1 + max((lane for _, _, _, lane in lanes), default=-1))
    names = [
        element(
            "svg",
            element("title", phase.name),
            element("text", phase.name, x=4, y=14, class_="phase-name"),
            x=span.percent(phase.start),
            width=_phase_width(phase, span),
            height=20,
            overflow="hidden",
        )
        for phase in record.phases
    ]
    marks = [_mark(number, at, injected, 20 + 18 * lane, span) for (number, injected), at, _, lane in lanes]
    said = "Phases: " + ", ".join(f"{p.name} from {figures.offset(p.start - span.zero)}" for p in record.phases)
    plot = _plot(record, span, Scale(1.0, height), said, above=[*names, *marks], grid=False)
    return Panel("", [], element("svg", class_="axis", height=height), plot)


def _marks(record: ExperimentRecord) -> list[tuple[tuple[int, bool], float]]:
    marks = []
    for number, fault in enumerate(record.faults, start=1):
        if fault.injected:
            marks.append(((number, True), fault.injected.low))
        if fault.undone:
            marks.append(((number, False), fault.undone.high))
    return sorted(marks, key=lambda mark: mark[1])


def _lanes(record: ExperimentRecord, span: Span) -> list[tuple[tuple[int, bool], float, float, int]]:
    """Marks with the lane that keeps each clear of its neighbours, also where the plot is narrow."""
    taken: list[float] = []
    placed = []
    for what, at in _marks(record):
        share = span.share(at)
        lane = next((index for index, until in enumerate(taken) if until <= share), min(len(taken), 3))
        if lane == len(taken):
            taken.append(0.0)
        taken[lane] = share + 0.09
        placed.append((what, at, share, lane))
    return placed


def _mark(number: int, at: float, injected: bool, y: int, span: Span) -> Markup:
    shape = "M-5 4H5L0 14Z" if injected else "M-5 14H5L0 4Z"
    word = "injected" if injected else "undone"
    return element(
        "svg",
        element("title", f"fault {number} {word} at {figures.offset(at - span.zero)}"),
        element("path", d=shape, class_="mark" if injected else "mark undone"),
        element("text", number, x=8, y=13, class_="mark-name"),
        x=span.percent(at),
        y=y,
        overflow="visible",
    )


def _phase_width(phase: PhaseRecord, span: Span) -> str:
    end = span.end if phase.end is None else phase.end
    return f"{(span.share(end) - span.share(phase.start)) * 100:.2f}%"


def _plot(
    record: ExperimentRecord,
    span: Span,
    scale: Scale,
    said: str,
    *shapes: Markup,
    above: Sequence[Markup] = (),
    grid: bool = True,
) -> Markup:
    behind = [
        element("rect", x=span.percent(p.start), width=_phase_width(p, span), height="100%", class_=f"band {p.name}")
        for p in record.phases
        if p.name in {"fault", "recovery"}
    ]
    lines = [
        element("line", x1="0", x2="100%", y1=scale.y(tick), y2=scale.y(tick), class_="grid")
        for tick in (scale.ticks() if grid else [])
    ]
    marks = [
        element("line", x1=x, x2=x, y1="0", y2="100%", class_="when" if injected else "when undone")
        for (_, injected), at in _marks(record)
        if (x := span.percent(at))
    ]
    inner = [*behind, *lines, *([curves(scale.height, *shapes)] if shapes else []), *marks, *above]
    return element("svg", *inner, class_="plot", height=scale.height, role="img", aria_label=said)


def _axis(scale: Scale, show: Callable[[float], str], ticks: Sequence[float] | None = None) -> Markup:
    labels = [
        # The first and last label stay inside the panel; a middle one sits on its line.
        element("text", show(tick), x="100%", dx=-6, y=min(max(scale.y(tick) + 4, 9), scale.height - 1), class_="tick")
        for tick in (scale.ticks() if ticks is None else ticks)
    ]
    return element("svg", *labels, class_="axis", height=scale.height, aria_hidden="true")


def _time_axis(span: Span) -> Panel:
    step = nice(span.length / 6)
    first = math.ceil((span.start - span.zero) / step)
    last = math.floor((span.end - span.zero) / step)
    labels = []
    for number in range(first, last + 1):
        at = span.zero + number * step
        share = span.share(at)
        side = "tick first" if share < 0.04 else "tick last" if share > 0.96 else "tick middle"
        labels.append(element("line", x1=span.percent(at), x2=span.percent(at), y1="0", y2="4", class_="when-tick"))
        labels.append(element("text", figures.offset(number * step), x=span.percent(at), y=16, class_=side))
    plot = element("svg", *labels, class_="plot bare", height=20, aria_hidden="true")
    return Panel("", [], element("svg", class_="axis", height=20), plot)

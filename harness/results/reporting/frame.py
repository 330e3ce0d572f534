"""The common parts of all panels of a chart: the time axis with phases and faults, the value axis, the plot's frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.model.quantities import show_seconds
from harness.results.record import ExperimentRecord, PhaseRecord
from harness.results.reporting import figures
from harness.results.reporting.svg import Scale, Span, curves, element, nice


@dataclass(frozen=True, slots=True)
class Panel:
    """One row of the chart: ``keys`` are pairs of the swatch's CSS class and a text; axis and plot are SVG."""

    title: str
    keys: list[tuple[str, str]]
    axis: Markup
    plot: Markup


def zero_of(record: ExperimentRecord) -> float:
    """Return the zero of the time axis: the first fault, or the start of the first phase if no fault was injected."""
    injected = [fault.injected.low for fault in record.faults if fault.injected]
    return min(injected or [phase.start for phase in record.phases], default=0.0)


def phase_panel(record: ExperimentRecord, span: Span) -> Panel:
    """Return the head of the chart: the names of the phases, and a numbered triangle at each injection and undo."""
    lanes = _lanes(record, span)
    height = 20 + 18 * (1 + max((lane for _, _, _, lane in lanes), default=-1))
    names = [
        element(
            "svg",
            element("title", _described(phase)),
            element("text", phase.name, x=4, y=14, class_="phase-name"),
            x=span.percent(phase.start),
            width=_phase_width(phase, span),
            height=20,
            overflow="hidden",
        )
        for phase in record.phases
    ]
    marks = [_mark(number, at, injected, 20 + 18 * lane, span) for (number, injected), at, _, lane in lanes]
    label = "Phases: " + ", ".join(f"{p.name} from {figures.offset(p.start - span.zero)}" for p in record.phases)
    drawn = plot(record, span, Scale(1.0, height), label, above=[*names, *marks], grid=False)
    return Panel("", [], element("svg", class_="axis", height=height), drawn)


def _described(phase: PhaseRecord) -> str:
    if phase.end is None or phase.at_most is None:
        return phase.name
    return f"{phase.name}: {show_seconds(phase.end - phase.start)} of at most {show_seconds(phase.at_most)}"


def _marks(record: ExperimentRecord) -> list[tuple[tuple[int, bool], float]]:
    marks = []
    for number, fault in enumerate(record.faults, start=1):
        if fault.injected:
            marks.append(((number, True), fault.injected.low))
        if fault.undone:
            marks.append(((number, False), fault.undone.high))
    return sorted(marks, key=lambda mark: mark[1])


def _lanes(record: ExperimentRecord, span: Span) -> list[tuple[tuple[int, bool], float, float, int]]:
    """Return the marks, each with a lane that keeps it apart from its neighbours even in a narrow plot."""
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


def plot(
    record: ExperimentRecord,
    span: Span,
    scale: Scale,
    label: str,
    *shapes: Markup,
    above: Sequence[Markup] = (),
    grid: bool = True,
) -> Markup:
    """Return a plot: shaded phases, the grid, ``shapes`` in stretched coordinates, fault lines, and ``above`` on top.

    ``label`` is the text for screen readers.
    """
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
    return element("svg", *inner, class_="plot", height=scale.height, role="img", aria_label=label)


def value_axis(scale: Scale, show: Callable[[float], str], ticks: Sequence[float] | None = None) -> Markup:
    """Return the labels of the value axis, by default at the scale's ticks."""
    labels = [
        # The first and last label are moved to stay inside the panel; the others are centred on their line.
        element("text", show(tick), x="100%", dx=-6, y=min(max(scale.y(tick) + 4, 9), scale.height - 1), class_="tick")
        for tick in (scale.ticks() if ticks is None else ticks)
    ]
    return element("svg", *labels, class_="axis", height=scale.height, aria_hidden="true")


def time_panel(span: Span) -> Panel:
    """Return the foot of the chart: labels at round numbers of seconds since the zero of the axis."""
    step = nice(span.length / 6)
    first = math.ceil((span.start - span.zero) / step)
    last = math.floor((span.end - span.zero) / step)
    labels = []
    for number in range(first, last + 1):
        at = span.zero + number * step
        share = span.share(at)
        # A label that is centred at the edge of the plot would be cut off.
        side = "tick first" if share < 0.04 else "tick last" if share > 0.96 else "tick middle"
        labels.append(element("line", x1=span.percent(at), x2=span.percent(at), y1="0", y2="4", class_="when-tick"))
        labels.append(element("text", figures.offset(number * step), x=span.percent(at), y=16, class_=side))
    plot = element("svg", *labels, class_="plot bare", height=20, aria_hidden="true")
    return Panel("", [], element("svg", class_="axis", height=20), plot)

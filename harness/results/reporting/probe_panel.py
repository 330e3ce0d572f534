"""The panel of the prober in an experiment's chart: a lane for each stream, with the periods of failing probes."""

from __future__ import annotations

from markupsafe import Markup

from harness.results.record import ChartRecord, ExperimentRecord
from harness.results.reporting import figures
from harness.results.reporting.frame import Panel, plot
from harness.results.reporting.svg import Scale, Span, element

LANE = 20


def probe_panel(record: ExperimentRecord, span: Span, chart: ChartRecord) -> Panel:
    """Return the panel with one lane per stream."""
    rates = {stream.name: f"{stream.name}, {stream.rate:g}/s" for stream in record.probing}
    lanes = [
        _lane(rates.get(name, name), failing, span, LANE * index + 2)
        for index, (name, failing) in enumerate(chart.probes.items())
    ]
    height = LANE * len(lanes) + 4
    label = "Probes: " + "; ".join(f"{name}: {_down(failing)}" for name, failing in chart.probes.items())
    drawn = plot(record, span, Scale(1.0, height), label, above=lanes, grid=False)
    return Panel("Prober, failing", [], element("svg", class_="axis", height=height), drawn)


def _lane(name: str, failing: list[tuple[float, float]], span: Span, y: int) -> Markup:
    bars = Markup("").join(
        element("rect", x=span.percent(low), width=_width(low, high, span), y=y + 3, height=12, rx=2, class_="outage")
        for low, high in failing
    )
    text = f"{name}: {_down(failing)}"
    if not failing:
        return element("text", text, x=span.percent(span.start), dx=6, y=y + 13, class_="lane")
    if span.share(failing[-1][1]) > 0.6:
        return bars + element("text", text, x=span.percent(failing[0][0]), dx=-6, y=y + 13, class_="lane end")
    return bars + element("text", text, x=span.percent(failing[-1][1]), dx=6, y=y + 13, class_="lane")


def _width(low: float, high: float, span: Span) -> str:
    # A failure of a few milliseconds would be narrower than a pixel, but must be visible.
    return f"{max(0.3, (span.share(high) - span.share(low)) * 100):.2f}%"


def _down(failing: list[tuple[float, float]]) -> str:
    if not failing:
        return "none failed"
    return f"failed for {figures.seconds(sum(high - low for low, high in failing))}"

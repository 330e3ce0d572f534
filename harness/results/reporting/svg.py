"""Inline SVG that is escaped by construction and adapts to any width.

A plot fills the width of its container: positions are percentages, and curves are in a nested, stretched coordinate
system with non-scaling strokes. Text is never stretched, so that a chart is readable on a phone and on paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

CURVE_WIDTH = 1000


def element(name: str, *children: object, **attributes: object) -> Markup:
    """Return an element; children and attribute values are escaped unless they are Markup.

    In attribute names a trailing ``_`` is dropped (``class_``) and other ``_`` become ``-``. Attributes with the value
    None are omitted.
    """
    shown = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _plain(value))
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), shown, inner)  # noqa: S704 - names are written here


def _plain(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class Span:
    """The time axis of all panels, in timeline seconds; ``zero`` is the zero of its labels."""

    start: float
    end: float
    zero: float

    @property
    def length(self) -> float:
        # A run that was interrupted at once has one instant only; its length must not be used as a divisor of zero.
        return max(self.end - self.start, 1e-9)

    def share(self, at: float) -> float:
        """Return the position of an instant from 0 to 1, clipped to the axis."""
        return min(1.0, max(0.0, (at - self.start) / self.length))

    def percent(self, at: float) -> str:
        return f"{self.share(at) * 100:.2f}%"

    def x(self, at: float) -> float:
        """Return the position of an instant in the coordinates of ``curves``."""
        return self.share(at) * CURVE_WIDTH


@dataclass(frozen=True, slots=True)
class Scale:
    """A vertical axis: values to pixels from the top, linear from zero or logarithmic from ``bottom``."""

    top: float
    height: int
    bottom: float = 0.0
    logarithmic: bool = False

    def y(self, value: float) -> float:
        if self.logarithmic:
            value = max(value, self.bottom)
            share = math.log(value / self.bottom) / math.log(self.top / self.bottom)
        else:
            share = value / self.top
        return self.height * (1 - min(1.0, max(0.0, share)))

    def ticks(self) -> list[float]:
        """Return round values for the labels of the axis."""
        if self.logarithmic:
            first, last = round(math.log10(self.bottom)), round(math.log10(self.top))
            return [10.0**power for power in range(first, last + 1)]
        # The tolerance keeps the last tick: top / step may be 2.9999999999 instead of 3.
        step = nice(self.top / 3)
        return [step * index for index in range(int(self.top / step + 1e-9) + 1)]


def nice(value: float) -> float:
    """Return the smallest 1, 2 or 5 times a power of ten that is at least ``value``."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    # The tolerance accepts a value that is exactly a step except for float noise.
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= value * (1 - 1e-9))


def linear(largest: float, height: int) -> Scale:
    """Return a scale from zero to a round number above the largest value."""
    step = nice(max(largest, 1e-9) / 3)
    return Scale(step * math.ceil(largest * 1.02 / step) if largest > 0 else 1.0, height)


def logarithmic(smallest: float, largest: float, height: int) -> Scale:
    """Return a logarithmic scale over whole decades."""
    bottom = 10.0 ** math.floor(math.log10(smallest))
    top = 10.0 ** math.ceil(math.log10(largest))
    return Scale(max(top, bottom * 10), height, bottom, logarithmic=True)


def curves(height: int, *shapes: Markup) -> Markup:
    """Return shapes in stretched coordinates: x from 0 to CURVE_WIDTH, y in pixels."""
    box = {"viewBox": f"0 0 {CURVE_WIDTH} {height}", "preserveAspectRatio": "none"}
    return element("svg", *shapes, width="100%", height=height, **box)


def stroke(points: Sequence[tuple[float, float, float] | None], class_: str) -> Markup:
    """Return a step line through (x0, x1, y): level within a bin, joined to the next one; None is a gap."""
    parts: list[str] = []
    joined = False
    for point in points:
        # Joining the neighbours of a bin without requests would show latencies that were not measured.
        if point is None:
            joined = False
            continue
        left, right, y = point
        parts.append(f"{'L' if joined else 'M'}{left:.1f} {y:.1f}H{right:.1f}")
        joined = True
    return element("path", d="".join(parts), class_=f"line {class_}")


def area(bins: Sequence[tuple[float, float, float, float]], class_: str) -> Markup:
    """Return columns (x0, x1, upper y, lower y) as one path; columns without height are omitted."""
    parts = [
        f"M{left:.1f} {lower:.1f}V{upper:.1f}H{right:.1f}V{lower:.1f}Z"
        for left, right, upper, lower in bins
        if lower - upper > 0.05
    ]
    return element("path", d="".join(parts), class_=f"area {class_}")

"""The result of a calibration as a table for a terminal."""

from __future__ import annotations

from harness.model.clock_errors import Calibration
from harness.results.reporting import figures
from harness.results.reporting.stopwatch import milliseconds

HEADINGS = ("clock", "outages", "lengths", "bias", "typical", "spread", "worst", "within bounds")


def table(calibration: Calibration) -> list[str]:
    """Return aligned lines: a heading and one line per clock."""
    rows = [HEADINGS]
    for error in calibration.clocks:
        missed = f", {error.missed} missed" if error.missed else ""
        rows.append(
            (
                error.clock,
                f"{error.samples}{missed}",
                figures.between(error.shortest, error.longest),
                milliseconds(error.bias, signed=True),
                milliseconds(error.typical),
                milliseconds(error.spread),
                milliseconds(error.worst),
                f"{error.covered} of {error.samples}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

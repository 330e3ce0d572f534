"""The run at the end of pytest's output, and as properties of a JUnit test case."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import Literal

from harness.record import ExperimentRecord, RunRecord
from harness.reporting import overview, stopwatch
from harness.reporting.plain import display_width, fit, one_line
from harness.verdict import Verdict

Style = Literal["", "bold", "green", "yellow", "red"]
Line = tuple[str, Style]

STYLES: dict[Verdict, Style] = {Verdict.HELD: "green", Verdict.INCONCLUSIVE: "yellow", Verdict.BROKEN: "red"}
HEADINGS = ("experiment", "verdict", "time to recover", "tightest objective")
MAX_NAME = 44
MAX_REASON = 400
INDENT = "    "


def terminal_lines(run: RunRecord, report: Path | None = None, width: int = 120) -> list[Line]:
    """Lines with the style of each (a name of pytest's markup, or nothing), none wider than ``width`` columns.

    A row an experiment or twin, those that did not pass with their reason beneath, then where the report lies.
    """
    verdict = overview.run_verdict(run)
    lines: list[Line] = [(f"{verdict}: {overview.headline(run)}", STYLES[verdict])]
    records = [record for family in overview.families(run) for record in family.members]
    if records:
        rows = [_row(record) for record in records]
        columns = [max(display_width(row[index]) for row in [HEADINGS, *rows]) for index in range(3)]
        lines.append((_joined(HEADINGS, columns, width), "bold"))
        for record, row in zip(records, rows, strict=True):
            lines.append((_joined(row, columns, width), STYLES[overview.contribution(record)]))
            if not record.passed:
                why = wrap(one_line(overview.reason(record), MAX_REASON), width - len(INDENT))
                lines.extend((INDENT + line, "") for line in why)
    if records:
        lines.extend((line, "") for line in wrap(stopwatch.line(run.environment), width))
    if report:
        lines.append((f"report: {report}", "bold"))
    return lines


def _row(record: ExperimentRecord) -> tuple[str, str, str, str]:
    name = f"  {one_line(f'twin {record.twin}')}" if record.twin else one_line(record.name)
    said = overview.verdict_text(record)
    return fit(name, MAX_NAME).rstrip(), said, overview.time_to_recover(record) or "–", _tightest(record)


def _tightest(record: ExperimentRecord) -> str:
    objective = overview.tightest(record.objectives)
    if objective is None:
        return "–"
    return one_line(overview.finding_text(objective))


def _joined(row: tuple[str, str, str, str], columns: list[int], width: int) -> str:
    cells = [fit(cell, column) for cell, column in zip(row[:3], columns, strict=True)]
    return fit("  ".join([*cells, row[3]]), width).rstrip()


def _series_properties(record: ExperimentRecord) -> list[tuple[str, str]]:
    if record.series is None:
        return []
    properties = [
        ("attempts", str(len(record.attempts))),
        ("attempts.as_should", str(record.series.as_should)),
        ("attempts.otherwise", str(record.series.otherwise)),
        ("attempts.undecided", str(record.series.undecided)),
    ]
    for found in record.series.recovery:
        for each in found.quantiles:
            stem = f"recovery.{found.clock}.{each.name}"
            bounds = {"low": each.low, "high": each.high}
            properties += [(f"{stem}.{name}", f"{value:.3f}") for name, value in bounds.items() if value is not None]
    return properties


def junit_properties(record: ExperimentRecord, report: Path | None = None) -> list[tuple[str, str]]:
    """Name and value of each property. Numbers are bare, in the unit that stands beside them, recovery in seconds."""
    properties = [("verdict", str(record.verdict)), ("reason", overview.reason(record))]
    if record.twin:
        properties += [("twin", record.twin), ("twin.outcome", overview.outcome(record))]
    properties += _series_properties(record)
    for objective in record.objectives:
        stem = f"objective.{objective.title}"
        properties.append((f"{stem}.verdict", str(objective.verdict)))
        numbers = {"observed": objective.observed, "limit": objective.limit, "margin": objective.margin}
        properties += [(f"{stem}.{name}", f"{value:.6g}") for name, value in numbers.items() if value is not None]
        properties += [(f"{stem}.unit", objective.unit)] if objective.unit else []
        properties.append((f"{stem}.samples", str(objective.samples)))
    for clock in overview.recoveries(record).values():
        stem = f"recovery.{clock.clock}"
        properties.append((f"{stem}.state", clock.state))
        bounds = {"low": clock.low, "high": clock.high}
        properties += [(f"{stem}.{name}", f"{value:.3f}") for name, value in bounds.items() if value is not None]
    return [*properties, *([("report", str(report))] if report else [])]

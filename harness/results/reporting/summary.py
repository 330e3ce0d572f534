"""The summary of a run at the end of pytest's output, and the properties of JUnit test cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Literal

from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting import advice, game_day, mutation, overview, stopwatch
from harness.results.reporting.plain import display_width, fit, one_line
from harness.results.skip_record import SkipRecord

Style = Literal["", "bold", "green", "yellow", "red"]
Line = tuple[str, Style]

STYLES: dict[Verdict, Style] = {Verdict.HELD: "green", Verdict.INCONCLUSIVE: "yellow", Verdict.BROKEN: "red"}
OUTCOMES: dict[str, Style] = {"caught": "green", "survived": "yellow", "undecided": "yellow"}
HEADINGS = ("experiment", "verdict", "time to recover", "tightest objective")
MAX_NAME = 44
# The longest name of a mutation operator has 19 characters.
MAX_OPERATOR = 20
MAX_REASON = 400
# Only against a message of megabytes.
MAX_SKIP_REASON = 4000
INDENT = "    "
# The minimum width of the objective's column; on a narrower terminal it is on a separate line.
LEAST_OBJECTIVE = 40


def terminal_lines(run: RunRecord, report: Path | None = None, width: int = 120) -> list[Line]:
    """Return lines with their styles (a name of pytest's markup or ""), none wider than ``width`` columns.

    There is a row for each experiment and twin, with the reason below if it did not pass, then the mutants, the skipped
    experiments and the path of the report.
    """
    verdict = overview.run_verdict(run)
    lines: list[Line] = [(line, STYLES[verdict]) for line in wrap(f"{verdict}: {overview.headline(run)}", width)]
    lines += _game_day(run, width)
    for sentence in overview.overruled(run):
        lines.extend((line, "red") for line in wrap(one_line(sentence), width))
    records = [record for family in overview.families(run) for record in family.members]
    if records:
        rows = [_row(record) for record in records]
        columns = [max(display_width(row[index]) for row in [HEADINGS, *rows]) for index in range(3)]
        # On a narrow terminal there is no room for the last column: it gets a separate line.
        narrow = width - sum(columns) - 6 < LEAST_OBJECTIVE
        lines += [(line, "bold") for line in _joined(HEADINGS, columns, width, narrow)]
        for record, row in zip(records, rows, strict=True):
            lines += [(line, STYLES[overview.contribution(record)]) for line in _joined(row, columns, width, narrow)]
            if not record.passed:
                why = wrap(one_line(overview.reason(record), MAX_REASON), width - len(INDENT))
                lines.extend((INDENT + line, "") for line in why)
                cause = wrap(advice.first(record), width - len(INDENT)) if record.advice else []
                lines.extend((INDENT + line, "") for line in cause)
            for disagreement in overview.disagreements(record):
                found = wrap(one_line(disagreement, MAX_REASON), width - len(INDENT))
                lines.extend((INDENT + line, "yellow") for line in found)
    lines += _mutation(run, width)
    lines += skipped_lines(run.skipped, width)
    if records:
        lines.append((fit(stopwatch.short(run.environment), width).rstrip(), ""))
    if report:
        lines.append((f"report: {report}", "bold"))
    return lines


def _game_day(run: RunRecord, width: int) -> list[Line]:
    """Return the lines of a game day and of the choice for a time budget."""
    lines: list[Line] = []
    if run.game_day:
        text = one_line(game_day.headline(run.game_day), MAX_REASON)
        lines += [(line, STYLES[run.game_day.verdict]) for line in wrap(text, width)]
    choice = game_day.choice_of(run)
    if choice is not None and choice.workers > 1:
        # With one process it was printed before the run; the workers of pytest-xdist have no terminal.
        lines += [(fit(one_line(line), width).rstrip(), "") for line in game_day.choice_lines(choice, indent="")]
    elif choice is not None and choice.left_out:
        lines += [(line, "") for line in wrap(one_line(game_day.summary(choice)), width)]
    return lines


def _mutation(run: RunRecord, width: int) -> list[Line]:
    """Return a table of the mutants of each experiment, and the score."""
    if run.mutation is None:
        return []
    lines: list[Line] = []
    for mutated in run.mutation.experiments:
        lines += [(line, "bold") for line in wrap(one_line(mutation.heading(mutated)), width)]
        for operator, outcome, text in mutation.rows(mutated):
            cells = f"  {fit(one_line(operator), MAX_OPERATOR)}  {outcome:9}  "
            for part in wrap(one_line(text, MAX_REASON), max(20, width - display_width(cells))):
                lines.append((cells + part, OUTCOMES[outcome]))
                cells = " " * display_width(cells)
        lines += [
            (line, "") for text in mutation.left_out(mutated) for line in wrap(text, width, subsequent_indent=INDENT)
        ]
    for text in mutation.survivors(run.mutation):
        lines += [(line, "yellow") for line in wrap(one_line(text, 1000), width, subsequent_indent=INDENT)]
    lines += [(line, "") for line in wrap(mutation.by_operator(run.mutation), width)]
    style: Style = "red" if run.mutation.missed else "bold"
    return [*lines, *((line, style) for line in wrap(mutation.score_line(run.mutation), width))]


def skipped_lines(skipped: Sequence[SkipRecord], width: int = 120) -> list[Line]:
    """Return the reason why each experiment was skipped, wrapped at ``width`` columns."""
    # Not cut: the reason often ends with what to do about it, and it is nowhere else on the terminal.
    texts = [one_line(f"skipped: {skip.name}: {skip.reason}", MAX_SKIP_REASON) for skip in skipped]
    return [(line, "yellow") for text in texts for line in wrap(text, width, subsequent_indent=INDENT)]


def _row(record: ExperimentRecord) -> tuple[str, str, str, str]:
    name = one_line(overview.item_name(record))
    if record.twin:
        name = f"  {name.removeprefix(f'{one_line(record.name)}, ')}"
    verdict = overview.verdict_text(record)
    return fit(name, MAX_NAME).rstrip(), verdict, overview.time_to_recover(record) or "–", _tightest(record)


def _tightest(record: ExperimentRecord) -> str:
    objective = overview.tightest(record.objectives)
    if objective is None:
        return "–"
    return one_line(overview.finding_text(objective))


def _joined(row: tuple[str, str, str, str], columns: list[int], width: int, narrow: bool) -> list[str]:
    """Format a row as one line or, on a ``narrow`` terminal, as two: the last column below the others."""
    cells = [fit(cell, column) for cell, column in zip(row[:3], columns, strict=True)]
    if not narrow:
        return [fit("  ".join([*cells, row[3]]), width).rstrip()]
    whole = "  ".join(cells).rstrip()
    fits = display_width(whole) <= width
    first = whole if fits else fit("  ".join(cells[:2]), width).rstrip()
    below = [text for text in (row[3:] if fits else row[2:]) if text != "–"]
    return [first, *(INDENT + line for text in below for line in wrap(text, width - len(INDENT)))]


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
    """Return the names and values of the properties. Numbers have no unit, which is a separate property.

    Recovery times are in seconds.
    """
    # The name of a surprise's item does not show which experiment it was.
    properties = [("experiment", record.name), ("verdict", str(record.verdict)), ("reason", overview.reason(record))]
    if record.twin:
        properties += [("twin", record.twin), ("twin.outcome", overview.outcome(record))]
    if record.mutant:
        properties.append(("mutant", record.mutant))
    properties += _series_properties(record)
    for objective in record.objectives:
        stem = f"objective.{objective.title}"
        properties.append((f"{stem}.verdict", str(objective.verdict)))
        if objective.verdict is not Verdict.HELD:
            properties.append((f"{stem}.reason", one_line(objective.reason, MAX_SKIP_REASON)))
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

"""Output of a comparison as text, as Markdown for a pull request, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.model.quantities import MINUS, counted
from harness.model.timeline import Interval
from harness.results.comparison.compare import Compared, Comparison, Standing, attempts_needed, shift
from harness.results.reporting import figures
from harness.results.reporting.markdown import escaped
from harness.results.reporting.plain import display_width, fit, one_line

HEADINGS = ("experiment", "measure", "before", "after", "")
_ORDER = (Standing.WORSE, Standing.BETTER, Standing.OPEN)
SIGNS = {Standing.WORSE: "❌", Standing.BETTER: "✅", Standing.OPEN: "➖"}


def headline(compared: Compared) -> str:
    """Return a summary such as ``1 verdict changed for the worse, 1 worse, 9 not distinguishable``."""
    if compared.nothing_in_common:
        return "nothing to compare: no experiment is in both runs"
    other = len(compared.changed) - len(compared.regressed)
    parts = [
        f"{counted(len(compared.regressed), 'verdict')} changed for the worse" if compared.regressed else "",
        f"{counted(other, 'other verdict' if compared.regressed else 'verdict')} changed" if other else "",
    ]
    counts = [[each.standing for each in compared.comparisons].count(standing) for standing in _ORDER]
    parts += [f"{count} {standing}" for count, standing in zip(counts, _ORDER, strict=True) if count]
    return ", ".join(part for part in parts if part) or "nothing measured in both runs"


def text(compared: Compared) -> str:
    """Format for a terminal: changed verdicts first, then measures that are worse, better and not distinguishable."""
    first, second = (one_line(run.run) for run in (compared.first, compared.second))
    lines = [f"{headline(compared)}: {second} against {first}, {_confidence(compared)}"]
    lines += [f"  {one_line(each.experiment)}: {each.before} → {each.after}" for each in compared.changed]
    rows = [tuple(one_line(cell) for cell in _row(each)) for each in _sorted(compared.comparisons)]
    if rows:
        columns = [max(display_width(row[index]) for row in [HEADINGS, *rows]) for index in range(4)]
        for row in [HEADINGS, *rows]:
            cells = [fit(cell, column) for cell, column in zip(row, columns, strict=False)]
            lines.append("  ".join([*cells, row[4]]).rstrip())
    return "\n".join([*lines, *map(one_line, _remarks(compared))])


def markdown(compared: Compared) -> str:
    """Format as GitHub-flavoured Markdown; names and messages from clusters and users are escaped."""
    worst = next((standing for standing in _ORDER if any(c.standing is standing for c in compared.comparisons)), None)
    # A verdict that changed for the worse is the main result even where no measure differs significantly.
    worst = Standing.WORSE if compared.regressed else worst
    parts = [f"## {SIGNS[worst or Standing.OPEN]} {escaped(headline(compared))}\n"]
    parts.append(escaped(f"{compared.second.run} against {compared.first.run}, {_confidence(compared)}") + "\n")
    if compared.changed:
        parts.append("### Verdicts that changed\n")
        parts.append("".join(f"- **{escaped(c.experiment)}**: {c.before} → {c.after}\n" for c in compared.changed))
    different = [each for each in _sorted(compared.comparisons) if each.standing is not Standing.OPEN]
    undecided = [each for each in compared.comparisons if each.standing is Standing.OPEN]
    if different:
        parts.append(_table(different))
    if undecided:
        summary = f"<summary>{len(undecided)} {Standing.OPEN}</summary>"
        parts.append(f"<details>{summary}\n\n{_table(undecided)}\n</details>\n")
    parts += [f"{escaped(remark)}\n" for remark in _remarks(compared)]
    return "\n".join(parts)


def document(compared: Compared) -> dict[str, Any]:
    """Return the comparison as JSON data: plain numbers with a separate unit, null for a missing number."""
    return {
        "first": compared.first.run,
        "second": compared.second.run,
        "confidence": compared.confidence,
        "worse": bool(compared.worse),
        "regressed": bool(compared.regressed),
        "changed": [
            {"experiment": each.experiment, "before": each.before, "after": each.after, "worse": each.worse}
            for each in compared.changed
        ],
        "comparisons": [_entry(each) for each in _sorted(compared.comparisons)],
        "only_first": compared.only_first,
        "only_second": compared.only_second,
        "notes": compared.notes,
    }


def _entry(comparison: Comparison) -> dict[str, Any]:
    tested = comparison.tested
    return {
        "experiment": comparison.experiment,
        "measure": comparison.measure.name,
        "unit": comparison.measure.unit,
        "more_is_better": comparison.measure.more_is_better,
        "standing": str(comparison.standing),
        "reason": comparison.reason,
        "attempts": list(comparison.counts),
        "before": _bounds(comparison.before),
        "after": _bounds(comparison.after),
        "shift": _bounds(shift(comparison)),
        "test": tested.name if tested else None,
        "effect": tested.effect if tested else None,
        "p": tested.p if tested else None,
        "p_corrected": comparison.p,
    }


def _bounds(interval: Interval) -> dict[str, float | None]:
    # JSON has no infinity; the high bound of an outage that was not over is infinite.
    return {name: value if math.isfinite(value) else None for name, value in _ends(interval)}


def _ends(interval: Interval) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("low", interval.low), ("high", interval.high)


def _sorted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return sorted(comparisons, key=lambda each: _ORDER.index(each.standing))


def _confidence(compared: Compared) -> str:
    return f"with {figures.quantity(compared.confidence, 'share')} confidence for all measures together"


def _row(comparison: Comparison) -> tuple[str, str, str, str, str]:
    (first, second), unit = comparison.counts, comparison.measure.unit
    result = f"{comparison.standing}: {comparison.reason}"
    if comparison.tested:
        result += f", {comparison.tested.name}, effect {_signed(comparison.tested.effect)}"
    return (
        comparison.experiment,
        comparison.measure.name,
        f"{_shown(comparison.before, unit)} (n {first})",
        f"{_shown(comparison.after, unit)} (n {second})",
        result,
    )


def _shown(interval: Interval, unit: str) -> str:
    return figures.between(interval.low, interval.high if math.isfinite(interval.high) else None, unit)


def _signed(effect: float) -> str:
    return f"{effect:+.2f}".replace("-", MINUS)


def table_head() -> tuple[str, str]:
    """Return the first two lines of the table of measures."""
    return "| | Experiment | Measure | Before | After | Why |", "|" + " --- |" * 6


def row_of(comparison: Comparison) -> str:
    """Return the row of one measure."""
    standing = f"{SIGNS[comparison.standing]} {comparison.standing}"
    return f"| {' | '.join([standing, *(escaped(cell) for cell in _row(comparison))])} |"


def _table(comparisons: Sequence[Comparison]) -> str:
    return "\n".join([*table_head(), *map(row_of, comparisons)]) + "\n"


def _remarks(compared: Compared) -> list[str]:
    remarks = []
    for names, run in ((compared.only_first, compared.first), (compared.only_second, compared.second)):
        if names:
            remarks.append(f"only in {run.run}: {', '.join(names)}")
    # Too few attempts look like equal runs, so the output includes the number that would be enough.
    untested = [min(each.counts) for each in compared.comparisons if each.tested is None]
    needed = attempts_needed(len(compared.comparisons), compared.confidence)
    if untested and min(untested) < needed:
        remarks.append(
            f"{counted(min(untested), 'attempt')} per run cannot show a difference in "
            f"{counted(len(compared.comparisons), 'measure')}, {needed} can: "
            f"run both with --repeat={needed} --repeat-all"
        )
    return [*remarks, *compared.notes]

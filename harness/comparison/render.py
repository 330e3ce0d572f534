"""A comparison for people, for a pull request's comment, and for other programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.comparison.compare import Compared, Comparison, Standing, shift
from harness.observation import Interval
from harness.reporting import figures
from harness.reporting.markdown import escaped
from harness.reporting.plain import display_width, fit, one_line

HEADINGS = ("experiment", "measure", "before", "after", "")
_ORDER = (Standing.WORSE, Standing.BETTER, Standing.OPEN)
SIGNS = {Standing.WORSE: "❌", Standing.BETTER: "✅", Standing.OPEN: "➖"}


def headline(compared: Compared) -> str:
    """``1 worse, 2 better, 9 not told apart``, or that there was nothing to compare."""
    counts = [[each.standing for each in compared.comparisons].count(standing) for standing in _ORDER]
    told = ", ".join(f"{count} {standing}" for count, standing in zip(counts, _ORDER, strict=True) if count)
    return told or "nothing to compare"


def text(compared: Compared) -> str:
    """For a terminal: changed verdicts first, then what is worse, better, and not told apart."""
    first, second = (one_line(run.run) for run in (compared.first, compared.second))
    lines = [f"{headline(compared)}: {second} against {first}, {_sure(compared)}"]
    lines += [f"  {one_line(each.experiment)}: {each.before} → {each.after}" for each in compared.changed]
    rows = [tuple(one_line(cell) for cell in _row(each)) for each in _sorted(compared.comparisons)]
    if rows:
        columns = [max(display_width(row[index]) for row in [HEADINGS, *rows]) for index in range(4)]
        for row in [HEADINGS, *rows]:
            cells = [fit(cell, column) for cell, column in zip(row, columns, strict=False)]
            lines.append("  ".join([*cells, row[4]]).rstrip())
    return "\n".join([*lines, *map(one_line, _remarks(compared))])


def markdown(compared: Compared) -> str:
    """GitHub-flavoured Markdown; whatever a cluster or a user named is shown as plain text."""
    worst = next((standing for standing in _ORDER if any(c.standing is standing for c in compared.comparisons)), None)
    parts = [f"## {SIGNS[worst or Standing.OPEN]} {escaped(headline(compared))}\n"]
    parts.append(escaped(f"{compared.second.run} against {compared.first.run}, {_sure(compared)}") + "\n")
    if compared.changed:
        parts.append("### Verdicts that changed\n")
        parts.append("".join(f"- **{escaped(c.experiment)}**: {c.before} → {c.after}\n" for c in compared.changed))
    told = [each for each in _sorted(compared.comparisons) if each.standing is not Standing.OPEN]
    still = [each for each in compared.comparisons if each.standing is Standing.OPEN]
    if told:
        parts.append(_table(told))
    if still:
        parts.append(f"<details><summary>{len(still)} not told apart</summary>\n\n{_table(still)}\n</details>\n")
    parts += [f"{escaped(remark)}\n" for remark in _remarks(compared)]
    return "\n".join(parts)


def document(compared: Compared) -> dict[str, Any]:
    """For other programs: all numbers bare, in the unit beside them; null where there is none."""
    return {
        "first": compared.first.run,
        "second": compared.second.run,
        "confidence": compared.confidence,
        "worse": bool(compared.worse),
        "changed": [
            {"experiment": each.experiment, "before": each.before, "after": each.after} for each in compared.changed
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
    return {name: value if math.isfinite(value) else None for name, value in _ends(interval)}


def _ends(interval: Interval) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("low", interval.low), ("high", interval.high)


def _sorted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    return sorted(comparisons, key=lambda each: _ORDER.index(each.standing))


def _sure(compared: Compared) -> str:
    return f"with {figures.quantity(compared.confidence, 'share')} confidence in all of it"


def _row(comparison: Comparison) -> tuple[str, str, str, str, str]:
    (first, second), unit = comparison.counts, comparison.measure.unit
    said = f"{comparison.standing}: {comparison.reason}"
    if comparison.tested:
        said += f", {comparison.tested.name}, effect {_signed(comparison.tested.effect)}"
    return (
        comparison.experiment,
        comparison.measure.name,
        f"{_shown(comparison.before, unit)} (n {first})",
        f"{_shown(comparison.after, unit)} (n {second})",
        said,
    )


def _shown(interval: Interval, unit: str) -> str:
    return figures.between(interval.low, interval.high if math.isfinite(interval.high) else None, unit)


def _signed(effect: float) -> str:
    return f"{effect:+.2f}".replace("-", figures.MINUS)


def _table(comparisons: Sequence[Comparison]) -> str:
    rows = (
        " | ".join([f"{SIGNS[each.standing]} {each.standing}", *(escaped(cell) for cell in _row(each))])
        for each in comparisons
    )
    head = "| | Experiment | Measure | Before | After | Why |\n|" + " --- |" * 6
    return "\n".join([head, *(f"| {row} |" for row in rows)]) + "\n"


def _remarks(compared: Compared) -> list[str]:
    remarks = []
    for names, run in ((compared.only_first, compared.first), (compared.only_second, compared.second)):
        if names:
            remarks.append(f"only in {run.run}: {', '.join(names)}")
    if any(max(each.counts) == 1 for each in compared.comparisons):
        remarks.append("single runs are not told apart, whatever they show: run both with --repeat")
    return [*remarks, *compared.notes]

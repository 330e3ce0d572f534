"""What a benchmark found: rows of named fields, printed as a table and written as JSON, the same for all of them.

Names end in their unit (``_s``, ``_ms``, ``_mb``, ``per_s``), so that a column explains itself; a field that a row does
not have is shown as a dash.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

Value = str | int | float | bool | None
Row = Mapping[str, Value]


def columns(rows: Iterable[Row]) -> list[str]:
    """The names of all fields, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def render(rows: Sequence[Row]) -> str:
    """The rows as a table: text to the left, numbers to the right."""
    names = columns(rows)
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    numeric = [not any(isinstance(row.get(name), str) for row in rows) for name in names]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    )


def write(file: Path, benchmark: str, rows: Sequence[Row]) -> None:
    """The rows as JSON, with the machine that they were measured on and when."""
    document = {"benchmark": benchmark, "at": datetime.now(UTC).isoformat(), "machine": machine(), "rows": [*rows]}
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Value]:
    """What a number depends on; the load average tells how quiet the machine was."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed. Raises ValueError when there are none."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))]


def _cell(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)

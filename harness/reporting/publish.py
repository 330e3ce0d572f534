"""A run's rendered files, made from its record alone: the same for a run just ended and for one of last year."""

from __future__ import annotations

from pathlib import Path

from harness.record import RunRecord
from harness.reporting.html import render
from harness.reporting.markdown import render_markdown
from harness.reporting.store import write_atomically

REPORT = "index.html"
SUMMARY = "summary.md"


def write_report(folder: Path, run: RunRecord) -> Path:
    """Render a run into its folder: index.html, whose path is returned, and summary.md. Raises OSError."""
    write_atomically(folder / SUMMARY, render_markdown(run))
    write_atomically(folder / REPORT, render(run))
    return folder / REPORT

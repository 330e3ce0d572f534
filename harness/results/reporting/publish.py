"""The rendered files of a run, generated from its record alone, so that an old run can be rendered again."""

from __future__ import annotations

from pathlib import Path

from harness.results.record import RunRecord
from harness.results.reporting.html import render
from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.store import RunStore, write_atomically

REPORT = "index.html"
SUMMARY = "summary.md"


def publish(store: RunStore, run: RunRecord) -> None:
    """Write results.json and the files that are rendered from it to the run's folder. Raises OSError."""
    store.write(run)
    write_report(store.folder, run)


def write_report(folder: Path, run: RunRecord) -> Path:
    """Write index.html and summary.md to the run's folder; return the path of index.html. Raises OSError."""
    write_atomically(folder / SUMMARY, render_markdown(run))
    write_atomically(folder / REPORT, render(run))
    return folder / REPORT

"""``harness report``: render the report of a stored run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.results.reporting.markdown import render_markdown
from harness.results.reporting.publish import write_report
from harness.results.reporting.store import load


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", type=Path, help="the run's folder, reports/<run-id>, or its results.json")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown summary, write no report")
    parser.set_defaults(command=_report)


def _report(options: argparse.Namespace) -> int:
    run = load(options.run)
    if options.markdown:
        print(render_markdown(run))
        return 0
    folder = options.run if options.run.is_dir() else options.run.parent
    print(write_report(folder, run))
    return 0

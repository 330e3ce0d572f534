"""``harness compare``: two stored runs, held against each other."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.comparison import render
from harness.comparison.compare import CONFIDENCE, compare_runs
from harness.errors import InputError, Problem
from harness.quantities import parse_share
from harness.reporting.store import load

WORSE = 1


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to ``harness``."""
    parser = verbs.add_parser("compare", help="hold one stored run against another: better, worse, not told apart")
    parser.add_argument("first", type=Path, help="the run before: its folder or its results.json")
    parser.add_argument("second", type=Path, help="the run after")
    parser.add_argument(
        "--confidence", default=f"{CONFIDENCE:.0%}", metavar="SHARE", help="of all differences together (%(default)s)"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print it as JSON")
    form.add_argument("--markdown", action="store_true", help="print it as Markdown, for a pull request")
    parser.set_defaults(command=compare)


def compare(options: argparse.Namespace) -> int:
    """Print the comparison. Exit codes: 0 nothing is worse, 1 something is. Raises InputError."""
    compared = compare_runs(load(options.first), load(options.second), _confidence(options.confidence))
    if options.json:
        print(json.dumps(render.document(compared), indent=1, ensure_ascii=False))
    else:
        print(render.markdown(compared) if options.markdown else render.text(compared))
    return WORSE if compared.worse else 0


def _confidence(text: str) -> float:
    try:
        share = float(parse_share(text))  # type: ignore[arg-type]
    except ValueError:
        share = 0.0
    if not 0.5 < share < 1:
        raise InputError([Problem(f"found {text!r}, expected more than 50% and less than 100%", field="--confidence")])
    return share

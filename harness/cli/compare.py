"""``harness compare``: compare two stored runs."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from harness.common.errors import InputError, Problem
from harness.model.quantities import parse_share
from harness.results.comparison import render
from harness.results.comparison.comment import comment
from harness.results.comparison.compare import CONFIDENCE, compare_runs
from harness.results.reporting.store import load

WORSE = 1
# Exit code 2 means invalid input for every command, so it is not used here.
REGRESSED = 3
NOTHING_IN_COMMON = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("first", type=Path, help="the earlier run: its folder or its results.json")
    parser.add_argument("second", type=Path, help="the later run: its folder or its results.json")
    parser.add_argument(
        "--confidence",
        default=f"{CONFIDENCE:.0%}",
        metavar="SHARE",
        help="confidence for all differences together (default: %(default)s)",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the comparison as JSON")
    form.add_argument("--markdown", action="store_true", help="print the comparison as Markdown, for a pull request")
    form.add_argument(
        "--comment",
        nargs="?",
        const="default",
        metavar="KEY",
        help="print only what changed, as a comment of a pull request; several jobs need different KEYs",
    )
    parser.set_defaults(command=compare)


def compare(options: argparse.Namespace) -> int:
    """Print the comparison and return the exit code. Raises InputError.

    0: nothing is worse, 1: a measure is worse, 3: a verdict is worse but no measure differs significantly, 4: the runs
    have no experiment in common.
    """
    compared = compare_runs(load(options.first), load(options.second), _confidence(options.confidence))
    if options.comment is not None:
        print(comment(compared, _key(options.comment)), end="")
    elif options.json:
        print(json.dumps(render.document(compared), indent=1, ensure_ascii=False))
    else:
        print(render.markdown(compared) if options.markdown else render.text(compared))
    if compared.nothing_in_common:
        return NOTHING_IN_COMMON
    if compared.worse:
        return WORSE
    return REGRESSED if compared.regressed else 0


def _key(text: str) -> str:
    # It is part of an HTML comment, which a hyphen could end.
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?", text) or "--" in text:
        expected = "up to 100 letters, digits, ., _ and single -"
        raise InputError([Problem(f"found {text!r}, expected {expected}", field="--comment")])
    return text


def _confidence(text: str) -> float:
    try:
        share = float(parse_share(text))  # type: ignore[arg-type]
    except ValueError:
        share = 0.0
    if not 0.5 < share < 1:
        raise InputError([Problem(f"found {text!r}, expected more than 50% and less than 100%", field="--confidence")])
    return share

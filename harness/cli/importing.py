"""``harness import``: convert SLOs of another format to objectives."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.experiment.openslo import import_openslo


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("format", choices=["openslo"])
    parser.add_argument(
        "files", nargs="+", type=Path, help="files with SLOs and the SLIs and data sources they reference"
    )
    parser.set_defaults(command=_import)


def _import(options: argparse.Namespace) -> int:
    print(import_openslo(options.files).text(), end="")
    return 0

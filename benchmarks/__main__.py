"""The command line: ``python -m benchmarks NAME [--json FILE]``. Every benchmark is a module of its name here.

Such a module has ``add_options(parser)`` and ``run(options, progress) -> rows``; its docstring says what is measured,
and ``NOTES``, if it has any, what the table cannot.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import table
from harness.common.errors import HarnessError
from harness.common.progress import Lines

NAMES = ("accuracy", "boot", "greatest", "histories", "load", "requests", "scale", "workers")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures the harness itself.")
    chosen = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    modules = {name: importlib.import_module(f"benchmarks.{name}") for name in NAMES}
    for name, module in modules.items():
        about = str(module.__doc__)
        own = chosen.add_parser(name, help=about.splitlines()[0], description=about)
        own.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
        own.add_argument("--cluster-name", default="bench", metavar="NAME", help="the local cluster (default: bench)")
        module.add_options(own)
    options = parser.parse_args(arguments)
    try:
        rows = modules[options.name].run(options, Lines())
    except HarnessError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    print(table.render(rows))
    if notes := getattr(modules[options.name], "NOTES", ""):
        print(f"\n{notes}")
    if options.json:
        table.write(options.json, options.name, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())

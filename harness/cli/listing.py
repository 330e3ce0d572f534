"""``harness list``: what an experiment can use, one line each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.experiment.sources import Sources
    from harness.traffic.load.catalogue import Catalogue

LISTED = ("faults", "objectives", "probes", "profiles", "workloads")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("what", choices=LISTED, help="the kind of thing to list")
    parser.add_argument("--json", action="store_true", help="print a JSON list of objects with name and about")
    parser.set_defaults(command=_list)


def _list(options: argparse.Namespace) -> int:
    found = dict(_entries(options.what))
    if options.json:
        print(json.dumps([{"name": name, "about": about} for name, about in found.items()], indent=2))
        return 0
    width = max(map(len, found), default=0)
    print("\n".join(f"{name:{width}}  {about}".rstrip() for name, about in found.items()) or f"no {options.what} found")
    return 0


def _entries(what: str) -> Iterator[tuple[str, str]]:
    if what in ("faults", "objectives", "probes"):
        from harness.experiment.kinds import kinds

        yield from ((kind.name, kind.summary) for kind in kinds(what))
        return
    from harness.common.project import Project
    from harness.experiment.sources import Sources

    sources = Sources.for_roots(Project.of([Path.cwd()]).folders)
    yield from _profiles(sources.load) if what == "profiles" else _workloads(sources)


def _profiles(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    from harness.common.errors import InputError

    for name in catalogue.names(".yaml"):
        try:
            yield name, catalogue.profile(name).description
        except InputError as error:
            yield name, f"cannot be used: {error.problems[0]}"


def _workloads(sources: Sources) -> Iterator[tuple[str, str]]:
    from harness.common.errors import InputError
    from harness.experiment.manifests import load_workload

    for name, folder in sources.workloads().items():
        try:
            yield name, ", ".join(load_workload(folder).names())
        except InputError as error:
            yield name, f"cannot be used: {error.problems[0]}"

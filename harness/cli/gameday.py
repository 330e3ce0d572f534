"""What the people on call enter during a game day: ``harness gameday mark detected``."""

from __future__ import annotations

import argparse

from harness.cli.selection import add_cluster_options, existing_cluster
from harness.common.clock import SystemClock
from harness.common.progress import Lines
from harness.gameday import marks
from harness.results.reporting.plain import harmless
from harness.safety.halt.order import whoami


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``harness gameday``."""
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    mark = verbs.add_parser("mark", help="enter when an outage of a game day was detected or mitigated")
    mark.add_argument("kind", choices=marks.KINDS, help="what happened")
    mark.add_argument(
        "--at",
        default="",
        metavar="TIME",
        help="when: 14:05, 14:05:30 (the last one, local time) or 2026-11-23T14:05:30+01:00 (default: now)",
    )
    mark.add_argument("--note", default="", help="how, in a few words; shown in the report")
    add_cluster_options(mark)
    mark.set_defaults(command=_mark)
    listed = verbs.add_parser("marks", help="list the marks that were entered, or delete them")
    listed.add_argument("--clear", action="store_true", help="delete all marks")
    add_cluster_options(listed)
    listed.set_defaults(command=_marks)


def _mark(options: argparse.Namespace) -> int:
    now = SystemClock().wall()
    at = marks.read_time(options.at, now) if options.at else now
    mark = marks.Mark(options.kind, at, whoami(), options.note.strip())
    with existing_cluster(options, Lines()) as cluster:
        marks.enter(cluster.api, mark)
        print(harmless(f"{cluster.context} at {cluster.api.server}: {mark}"))
    return 0


def _marks(options: argparse.Namespace) -> int:
    with existing_cluster(options, Lines()) as cluster:
        if options.clear:
            print(f"{marks.remove(cluster.api)} deleted")
            return 0
        for mark in marks.entered(cluster.api, 0.0, SystemClock().wall()):
            print(harmless(str(mark)))
    return 0

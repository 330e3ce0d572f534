"""Boots a local cluster several times, from nothing to the last addon, and tells each phase's time.

Every row is a line of the boot's own progress: how many seconds after the start it came, over all boots. Components
and images are built before, outside of the measurement.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

from benchmarks.clusters import refuse_existing
from benchmarks.table import Row
from harness.cluster.local import commands
from harness.common.clock import SystemClock
from harness.common.progress import Progress


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=10, help="how many boots (default: 10)")
    parser.add_argument("--nodes", type=int, default=2, help="workers of the cluster (default: 2)")


def run(options: argparse.Namespace, progress: Progress) -> list[Row]:
    """Raises ClusterRefused when there is a cluster of this name, ClusterBroken when one does not boot."""
    refuse_existing(options.cluster_name)
    commands.build(progress)
    clock = SystemClock()
    phases: defaultdict[str, list[float]] = defaultdict(list)
    for number in range(1, options.runs + 1):
        progress(f"boot {number} of {options.runs}")
        started = clock.monotonic()

        def note(message: str, started: float = started) -> None:
            # The last line names files; what it says is that nothing is left to wait for.
            name = "up" if message.startswith(f"the local cluster {options.cluster_name} is up") else message
            phases[name].append(clock.monotonic() - started)

        try:
            commands.up(options.cluster_name, options.nodes, note).close()
        finally:
            began = clock.monotonic()
            commands.down(options.cluster_name, lambda _message: None)
            phases["taken down (from its beginning)"].append(clock.monotonic() - began)
    return [_row(name, seconds) for name, seconds in phases.items()]


def _row(phase: str, seconds: list[float]) -> Row:
    return {
        "phase": phase,
        "min_s": round(min(seconds), 2),
        "median_s": round(statistics.median(seconds), 2),
        "max_s": round(max(seconds), 2),
        "samples": len(seconds),
    }

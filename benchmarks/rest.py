"""Waits until a cluster is at rest, so that nobody pays for work that was left over from before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from harness.cluster.local import cgroups
from harness.common.clock import Clock
from harness.common.errors import HarnessError

# Kubelets, leases and scrapes never end; this is well above them, and a fourth of two cores.
QUIET_CORES = 0.5
QUIET_SECONDS = 4


def wait_for_rest(used: Callable[[], float], seconds: float, clock: Clock) -> float | None:
    """Wait until less than ``QUIET_CORES`` were used in each of ``QUIET_SECONDS`` seconds, one after the other.

    ``used`` tells the CPU seconds used so far. None when that came; else how many cores were in use last, when
    ``seconds`` were over.
    """
    at, before, quiet, cores = clock.monotonic(), used(), 0, 0.0
    deadline = at + seconds
    while at < deadline:
        clock.sleep(1.0)
        now, after = clock.monotonic(), used()
        cores = (after - before) / (now - at)
        at, before = now, after
        quiet = quiet + 1 if cores < QUIET_CORES else 0
        if quiet == QUIET_SECONDS:
            return None
    return cores


def cpu_seconds(cluster: str) -> float:
    """What all processes of a local cluster have used so far. Raises HarnessError when no control group tells."""
    for folder in cgroups.folders(cgroups.group(cluster)):
        with suppress(OSError):
            return int((folder / "cpuacct.usage").read_text()) / 1e9
        with suppress(OSError):
            lines = (folder / "cpu.stat").read_text().splitlines()
            if found := [line for line in lines if line.startswith("usage_usec ")]:
                return int(found[0].split()[1]) / 1e6
    raise HarnessError(f"no control group of cluster {cluster!r} tells how much CPU it has used")

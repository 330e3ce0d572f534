"""Scheduling priority for the measuring processes, which share their CPUs with the cluster they measure.

They use little CPU, but a generator that has to wait for a CPU is late, which would be measured as the target's
latency.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICENESS = -10
# Linux divides CPU time between sessions before it considers niceness (sched(7), "The autogroup feature"), and this
# process runs in a separate session.
AUTOGROUP = Path("/proc/self/autogroup")


def raise_priority() -> None:
    """Raise the priority above that of ordinary processes. Without root this has no effect; lateness still counts."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with suppress(OSError):
        AUTOGROUP.write_text(str(NICENESS), encoding="ascii")

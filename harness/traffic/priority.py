"""Scheduling priority for the measuring processes, which share their CPUs with the cluster they measure.

They use little CPU, but a generator that has to wait for a CPU is late, which would be measured as the target's
latency. Niceness is not enough: on two busy CPUs a process of niceness -10 woke up to 0.2 s late, one with the lowest
real-time priority at most 6 ms late (measured side by side for 200 s).
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# The lowest real-time priority: before every ordinary process, after everything else. The kernel keeps a part of each
# CPU for ordinary processes (sched(7), "Limiting the CPU usage of real-time and deadline processes").
REAL_TIME = 1
NICENESS = -10
# Linux divides CPU time between sessions before it considers niceness (sched(7), "The autogroup feature"), and this
# process runs in a separate session.
AUTOGROUP = Path("/proc/self/autogroup")


def raise_priority() -> None:
    """Raise the priority above that of ordinary processes: to real time, else to a lower niceness.

    Without root this has no effect; lateness still counts. Processes started later do not inherit real time.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME))
    except OSError:
        # Not permitted, or a control group without a share of real time.
        _lower_niceness()


def _lower_niceness() -> None:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with suppress(OSError):
        AUTOGROUP.write_text(str(NICENESS), encoding="ascii")

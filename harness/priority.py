"""Keeps a measuring process on time where it shares its processors with the cluster that it measures.

It uses little CPU, but a generator that waits for its turn is late, and lateness is measured as the target's latency.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICENESS = -10
# Linux weighs sessions against each other before it looks at niceness (sched(7), "The autogroup feature"), and this
# process has a session of its own.
AUTOGROUP = Path("/proc/self/autogroup")


def raise_priority() -> None:
    """Go before ordinary processes. Only root may; for anybody else nothing changes, and lateness is still counted."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    with suppress(OSError):
        AUTOGROUP.write_text(str(NICENESS), encoding="ascii")

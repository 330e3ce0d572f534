"""A dead-man switch for effects on machines: a process that outlives the run and sweeps when the run is gone.

What a fault does to a node of ours (its power, its network, its services) is done by this machine, and no janitor in
the cluster can take it back. So a process is started here before such a fault: it waits for the end of its input, which
the kernel brings about however the run ends, and takes the run back then as ``harness sweep`` does. A run that ends in
order stands it down before. Effects in pods expire where they are (``harness/faults/process_hang.py``); effects in the
API are for ``harness sweep`` and the janitor, from anywhere.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from harness.cluster.protocol import Cluster

# What is written when there is nothing to take back any more.
ALL_IS_WELL = b"all is well"
STOP_WITHIN = 10.0
# The providers whose nodes' machines are here.
MACHINES_ARE_HERE = frozenset({"local", "kind"})


class DeadMan:
    """Armed from the moment it is made. ``folder`` is the run's: its journals are there, and the log is kept there."""

    def __init__(self, cluster: Cluster, run: str, folder: Path) -> None:
        kubeconfig = ["--kubeconfig", str(cluster.kubeconfig)] if cluster.kubeconfig else []
        where = ["--context", cluster.context, *kubeconfig, "--reports", str(folder)]
        command = [sys.executable, "-m", "harness.cli", "sweep", "--orphaned", "--run", run, *where]
        with (folder / "deadman.log").open("ab") as log:
            # A session of its own: a Ctrl-C at the terminal is for the run.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def stand_down(self) -> None:
        """There is nothing to take back any more, or it has been told that it could not be."""
        stream = self._process.stdin
        if stream and not stream.closed:
            with suppress(BrokenPipeError):
                stream.write(ALL_IS_WELL)
                stream.close()
            # On a busy machine it may not even have begun to read: what it was told stands in its input.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN)


def orphaned() -> bool:
    """Wait until whoever started this process ends; tell whether it left something to do."""
    return sys.stdin.buffer.read() != ALL_IS_WELL

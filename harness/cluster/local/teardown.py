"""Removes a local cluster or what is left of it.

Only the cluster's name is needed: all of its processes are in control groups with that name; its namespaces, mounts,
links and firewall rules end with those processes; and all of its files are in one folder. Every step is idempotent, so
another teardown completes one that was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from harness.cluster.local import cgroups
from harness.cluster.local.namespace_members import members, namespace_of
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.processes import run
from harness.common.clock import Clock
from harness.common.errors import ClusterBroken

END_SECONDS = 20.0


def exists(name: str) -> bool:
    """Return whether anything of a cluster exists: files, control groups or processes."""
    return ClusterPaths.of(name).root.exists() or any(
        folder.exists() for folder in cgroups.folders(cgroups.group(name))
    )


def end_processes(name: str, clock: Clock) -> None:
    """End all processes of a cluster, which ends its namespaces, and remove its control groups. Files are kept."""
    group = cgroups.group(name)
    # First, because the networks are found by the cluster's own processes.
    _end_visitors(group)
    cgroups.end_processes(group, END_SECONDS, clock)
    cgroups.remove(group, END_SECONDS, clock)


def remove(name: str, clock: Clock) -> None:
    """Remove a cluster completely. Raises ClusterBroken if something cannot be removed within ``END_SECONDS``."""
    end_processes(name, clock)
    deadline = clock.monotonic() + END_SECONDS
    root = ClusterPaths.of(name).root
    for mount in mounts_below(root, Path("/proc/self/mountinfo").read_text()):
        # Lazy, so that a process that still uses the mount does not stop the removal.
        run(["umount", "--lazy", str(mount)], f"unmount {mount}")
    # Repeated, because a process that is just ending may still write a file.
    while root.exists():
        shutil.rmtree(root, ignore_errors=True)
        if not root.exists():
            # On a busy disk one attempt may take longer than all of the time.
            break
        if clock.monotonic() > deadline:
            raise ClusterBroken(f"{root} cannot be removed")
        clock.sleep(0.05)
    # Remove the folder of all clusters too if this was the last one.
    with suppress(OSError):
        root.parent.rmdir()


def _end_visitors(group: str) -> None:
    """End processes that joined the cluster's networks from outside (load generators), which keep the networks open."""
    inside = cgroups.processes(group)
    # The gateway is in the machine's network, whose other processes must not be ended.
    own = namespace_of(os.getpid(), "net")
    networks = {found for pid in inside if (found := namespace_of(pid, "net")) and found != own}
    for pid in members(networks, "net") - inside:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def mounts_below(root: Path, mountinfo: str) -> list[Path]:
    """Return the mount points at or below a folder, deepest first. The harness itself creates none there."""
    # The kernel writes a space in a mount point as \040 (proc_pid_mountinfo(5)).
    points = [Path(line.split()[4].replace("\\040", " ")) for line in mountinfo.splitlines()]
    return sorted({point for point in points if point.is_relative_to(root)}, reverse=True)

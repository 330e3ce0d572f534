"""Taking a local cluster away, whatever is left of it.

Nothing but the cluster's name is needed: all of its processes are in control groups that carry the name, its
namespaces, mounts, links and firewall rules end with those processes, and all of its files are in one folder. Every
step may be repeated, and a teardown that was killed is finished by the next.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from harness.clock import Clock
from harness.cluster.local import cgroups
from harness.cluster.local.namespace_members import members, namespace_of
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.processes import run
from harness.errors import ClusterBroken

END_SECONDS = 20.0


def exists(name: str) -> bool:
    """Whether anything of a cluster is there: files, control groups or processes."""
    return ClusterPaths.of(name).root.exists() or any(
        folder.exists() for folder in cgroups.folders(cgroups.group(name))
    )


def end_processes(name: str, clock: Clock) -> None:
    """End all processes of a cluster, and thereby its namespaces, and remove its control groups. Files stay."""
    group = cgroups.group(name)
    _end_visitors(group)
    cgroups.end_processes(group, END_SECONDS, clock)
    cgroups.remove(group, END_SECONDS, clock)


def remove(name: str, clock: Clock) -> None:
    """Remove all of a cluster. Raises ClusterBroken when something of it does not go away."""
    end_processes(name, clock)
    deadline = clock.monotonic() + END_SECONDS
    root = ClusterPaths.of(name).root
    for mount in mounts_below(root, Path("/proc/self/mountinfo").read_text()):
        run(["umount", "--lazy", str(mount)], f"unmount {mount}")
    # Repeated, for a command of a killed `up` may still be on its way and write a last file.
    while root.exists():
        shutil.rmtree(root, ignore_errors=True)
        if clock.monotonic() > deadline:
            raise ClusterBroken(f"{root} cannot be removed")
        clock.sleep(0.05 if root.exists() else 0)
    # The folder of all clusters goes with the last of them.
    with suppress(OSError):
        root.parent.rmdir()


def _end_visitors(group: str) -> None:
    """End what joined the cluster's networks from outside (load generators): they would keep the networks alive."""
    inside = cgroups.processes(group)
    # The gateway is in the machine's own network, whose members are none of the cluster's business.
    own = namespace_of(os.getpid(), "net")
    networks = {found for pid in inside if (found := namespace_of(pid, "net")) and found != own}
    for pid in members(networks, "net") - inside:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def mounts_below(root: Path, mountinfo: str) -> list[Path]:
    """The mount points at or below a folder, deepest first. There are none unless someone else made them."""
    points = [Path(line.split()[4].replace("\\040", " ")) for line in mountinfo.splitlines()]
    return sorted({point for point in points if point.is_relative_to(root)}, reverse=True)

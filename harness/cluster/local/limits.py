"""Checks limits of the machine that another cluster could exceed, before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

from harness.cluster.local.namespace_members import all_processes
from harness.common.errors import ClusterBroken

INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_LINK = "anon_inode:inotify"
# Counted on running clusters: a node's kubelet, containerd and kube-proxy hold 8; the control plane's programs 10 more.
INOTIFY_OF_NODE = 8
INOTIFY_OF_CONTROL_PLANE = 10


def check_inotify(nodes: int) -> None:
    """Raise ClusterBroken if too few inotify instances are left for a cluster of so many nodes.

    The harness does not raise the limit (often 128), since it applies to all processes of this user.
    """
    wanted = INOTIFY_OF_CONTROL_PLANE + INOTIFY_OF_NODE * nodes
    limit, used = int(INOTIFY_LIMIT.read_text()), inotify_in_use()
    if used + wanted > limit:
        raise ClusterBroken(
            f"{nodes} nodes need about {wanted} inotify instances, and {used} of the machine's {limit} are in use: "
            f"remove another cluster, or raise the limit (sysctl -w fs.inotify.max_user_instances={limit * 4})"
        )


def inotify_in_use() -> int:
    """Return the number of inotify instances of this user's processes."""
    return sum(_held(Path(f"/proc/{pid}")) for pid in all_processes())


def _held(process: Path) -> int:
    try:
        if process.stat().st_uid != os.geteuid():
            return 0
        return sum(_is_inotify(descriptor) for descriptor in (process / "fd").iterdir())
    except OSError:
        return 0


def _is_inotify(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()) == INOTIFY_LINK
    except OSError:
        return False

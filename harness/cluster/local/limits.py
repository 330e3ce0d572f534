"""Limits of the machine that a further cluster could exceed, checked before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

from harness.cluster.local.namespace_members import all_processes
from harness.errors import ClusterBroken

INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_LINK = "anon_inode:inotify"
# Counted on running clusters: a node's kubelet, containerd and kube-proxy hold 8; the control plane's programs 10 more.
INOTIFY_OF_NODE = 8
INOTIFY_OF_CONTROL_PLANE = 10


def check_inotify(nodes: int) -> None:
    """Refuse a cluster whose kubelets would find no inotify instance left. Raises ClusterBroken with the way out.

    The limit (often 128) is the user's for the whole machine, so it is not ours to raise.
    """
    wanted = INOTIFY_OF_CONTROL_PLANE + INOTIFY_OF_NODE * nodes
    limit, used = int(INOTIFY_LIMIT.read_text()), inotify_in_use()
    if used + wanted > limit:
        raise ClusterBroken(
            f"{nodes} nodes need about {wanted} inotify instances, and {used} of the machine's {limit} are in use: "
            f"take another cluster down, or raise the limit (sysctl -w fs.inotify.max_user_instances={limit * 4})"
        )


def inotify_in_use() -> int:
    """How many inotify instances the processes of this user hold."""
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

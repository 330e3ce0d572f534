"""The namespaces of a cluster, each kept open only by one sleeping process, its holder.

A node has its network, mount and UTS namespaces; the switch has a network namespace. None has a name in /run/netns or a
mount outside itself. So when the last process of a node ends, the kernel removes everything: links, routes, firewall
rules, mounts. Even a boot that is killed halfway leaves nothing to clean up.

Inside a node, /var and /tmp are on disk in the node's folder and /run is in memory; the other files are the machine's,
read-only. To a pod with a hostPath volume it looks like a separate machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.cluster.local.cgroups import group
from harness.cluster.local.paths import NodePaths
from harness.cluster.local.plan import SWITCH, Node
from harness.cluster.local.processes import Program

HOLDER = "holder"
READY = ".ready"
SYSTEM_GROUP = "system"
# The paths of the configuration and of the built programs on a node.
CONFIG = Path("/run/node")
BIN = Path("/run/bin")

# $1 host name, $2 the node's folder, $3 folder of the built programs.
# The new /run is assembled elsewhere first: the sources of the binds may be below the old /run, /var or /tmp.
# The mounts are made shared at the end, since the mountPropagation of volumes requires it.
NODE_SETUP = """
set -e
hostname "$1"
mount -t tmpfs -o mode=755 run "$2/run"
mkdir "$2/run/node" "$2/run/bin" "$2/run/lock" "$2/run/.var" "$2/run/.tmp"
mount --bind "$2/config" "$2/run/node"
mount --bind "$3" "$2/run/bin"
mount --bind "$2/var" "$2/run/.var"
mount --bind "$2/tmp" "$2/run/.tmp"
mkdir -p "$2/var/lib" "$2/var/log" "$2/var/tmp" "$2/var/cache"
ln -sfn /run "$2/var/run"
mount --no-mtab --move "$2/run" /run
mount --no-mtab --move /run/.var /var
mount --no-mtab --move /run/.tmp /tmp
rmdir /run/.var /run/.tmp
mount --no-mtab -o remount,bind,ro /
mount --no-mtab --make-rshared /
: > /run/node/.ready
exec sleep infinity
"""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The namespaces of a holder process."""

    holder: int

    @property
    def network(self) -> Path:
        return Path(f"/proc/{self.holder}/ns/net")

    def file(self, path: str) -> Path:
        """Return the path of a node's file for processes outside the node."""
        return Path(f"/proc/{self.holder}/root{path}")

    def enter_network(self, *command: str) -> tuple[str, ...]:
        """Return the command line to run a command in the holder's network namespace, with the files of the machine.

        Not ``ip netns exec``: it mounts a new /sys, which hides the control groups.
        """
        return ("nsenter", f"--net={self.network}", "--", *command)

    def enter(self, *command: str) -> tuple[str, ...]:
        """Return the command line to run a command on the node: with its network, files and host name."""
        proc = f"/proc/{self.holder}/ns"
        return ("nsenter", f"--net={proc}/net", f"--mount={proc}/mnt", f"--uts={proc}/uts", "--wd=/", "--", *command)


def node_holder(cluster: str, node: Node, paths: NodePaths, binaries: Path) -> Program:
    """Return the program that creates a node's namespaces, sets up its files, and keeps the namespaces open."""
    for folder in (paths.var, paths.tmp, paths.config, paths.run):
        folder.mkdir(parents=True, exist_ok=True)
    # Not in mkdir, whose mode is reduced by the umask.
    paths.tmp.chmod(0o1777)
    # Left from an earlier start of the node, it would end the wait for this start too early.
    (paths.config / READY).unlink(missing_ok=True)
    setup = ("sh", "-c", NODE_SETUP, "sh", node.name, str(paths.root), str(binaries))
    command = ("unshare", "--mount", "--net", "--uts", "--propagation", "private", *setup)
    return Program(node.role, HOLDER, command, group(cluster, node.role, SYSTEM_GROUP))


def switch_holder(cluster: str) -> Program:
    """Return the program that keeps the switch's network namespace open."""
    return Program(SWITCH, HOLDER, ("unshare", "--net", "sleep", "infinity"), group(cluster, SWITCH, SYSTEM_GROUP))

"""The namespaces that a cluster lives in, held open by one sleeping process each and by nothing else.

A node gets a network, a mount and a host name of its own; the switch gets a network. None of them has a name in
/run/netns or a mount outside of itself, so when the last process of a node ends the kernel takes everything away:
links, routes, firewall rules, mounts. What is killed half-made leaves nothing to find and undo.

Inside a node /var, /tmp and /run are the node's own (on disk, from its folder, and in memory), the rest of the
machine's files can be read but not written: to a pod with a hostPath volume it looks like a machine of its own.
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
# Where a node finds its configuration and the built programs.
CONFIG = Path("/run/node")
BIN = Path("/run/bin")

# $1 host name, $2 the node's folder, $3 folder of the built programs.
# /run is put together at a place of its own first: the sources of the binds may lie below the old /run, /var or /tmp.
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
        """A file of the node as seen from out here."""
        return Path(f"/proc/{self.holder}/root{path}")

    def enter_network(self, *command: str) -> tuple[str, ...]:
        """A command as run in the holder's network only: the files stay those of the machine.

        ``nsenter`` and never ``ip netns exec``, which mounts a new /sys and thereby hides the control groups.
        """
        return ("nsenter", f"--net={self.network}", "--", *command)

    def enter(self, *command: str) -> tuple[str, ...]:
        """A command as run on the node: its network, its files, its host name."""
        proc = f"/proc/{self.holder}/ns"
        return ("nsenter", f"--net={proc}/net", f"--mount={proc}/mnt", f"--uts={proc}/uts", "--wd=/", "--", *command)


def node_holder(cluster: str, node: Node, paths: NodePaths, binaries: Path) -> Program:
    """The program that opens a node's namespaces, sets its files up and keeps them."""
    for folder in (paths.var, paths.tmp, paths.config, paths.run):
        folder.mkdir(parents=True, exist_ok=True)
    paths.tmp.chmod(0o1777)
    (paths.config / READY).unlink(missing_ok=True)
    setup = ("sh", "-c", NODE_SETUP, "sh", node.name, str(paths.root), str(binaries))
    command = ("unshare", "--mount", "--net", "--uts", "--propagation", "private", *setup)
    return Program(node.role, HOLDER, command, group(cluster, node.role, SYSTEM_GROUP))


def switch_holder(cluster: str) -> Program:
    """The program that keeps the switch's network."""
    return Program(SWITCH, HOLDER, ("unshare", "--net", "sleep", "infinity"), group(cluster, SWITCH, SYSTEM_GROUP))

"""Checks that a removed cluster has no leftovers: compares the machine with its state before the cluster.

Other clusters may be created and removed in the meantime; what is identifiable as theirs is ignored.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, fields
from pathlib import Path

from harness.cluster.local import cgroups
from harness.cluster.local.namespace_members import all_processes, namespace_of
from harness.cluster.local.paths import ClusterPaths, state_root

# Mount points of kubelet, containerd and the network plugins; marks in the rules of kube-proxy and of the plugins.
NODE_MOUNTS = ("/run/netns", "/run/containerd", "/var/lib/containerd", "/var/lib/kubelet")
RULE_MARKS = ("KUBE-", "CNI-", "198.18.", "198.19.")
NAMESPACE_KINDS = ("net", "mnt", "uts", "ipc", "pid")


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that could be a leftover of a cluster, at one moment."""

    processes: frozenset[str]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    links: frozenset[str]
    rules: frozenset[str]
    groups: frozenset[str]
    files: frozenset[str]

    @classmethod
    def look(cls, name: str) -> Machine:
        """Return the state of the machine, as far as it can be related to the cluster of this name."""
        return cls(
            processes=frozenset(_processes(name)),
            namespaces=frozenset(_namespaces(name)),
            mounts=frozenset(_mounts(name)),
            links=frozenset(_output("ip", "-brief", "link")),
            rules=frozenset(_rules()),
            groups=frozenset(_groups(name)),
            files=frozenset(_files(name)),
        )

    def since(self, before: Machine) -> list[str]:
        """Return what is new since ``before``, one line each; empty if there are no leftovers."""
        return [
            f"{field.name}: {item}"
            for field in fields(self)
            for item in sorted(getattr(self, field.name) - getattr(before, field.name))
        ]


def _processes(name: str) -> set[str]:
    """Return the processes in the cluster's control groups, and all with the cluster's folder in their command line."""
    group, folder = cgroups.group(name), f"{ClusterPaths.of(name).root}/"
    inside = cgroups.processes(group)
    return {f"{pid} {line}" for pid in all_processes() if folder in (line := _command_line(pid)) or pid in inside}


def _namespaces(name: str) -> set[str]:
    """Return all namespaces except the machine's and those with a process that is unrelated to the cluster."""
    found: dict[str, bool] = {}
    for pid in all_processes():
        foreign = _is_foreign(pid, name)
        for kind in NAMESPACE_KINDS:
            namespace = namespace_of(pid, kind)
            if namespace is not None:
                found[namespace] = found.get(namespace, False) or foreign
    machines = {namespace_of(1, kind) for kind in NAMESPACE_KINDS}
    return {namespace for namespace, foreign in found.items() if not foreign} - {known for known in machines if known}


def _is_foreign(pid: int, name: str) -> bool:
    """Return whether a process is neither in the cluster's group nor in that of this process and its children."""
    if cgroups.contains(cgroups.group(name), pid):
        return False
    machines = {line for line in _group_lines(pid) if line.endswith(":/")}
    return bool(_group_lines(pid) - _group_lines(os.getpid()) - machines)


def _group_lines(pid: int) -> set[str]:
    try:
        return set(Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    except OSError:
        return set()


def _mounts(name: str) -> set[str]:
    """Return mounts of the cluster's folder in any mount namespace, and node mounts in the machine's namespace."""
    folder = f"{ClusterPaths.of(name).root}/"
    found = set()
    for pid in all_processes():
        try:
            # Read per process: a mount in a mount namespace is not in the machine's table.
            lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        except OSError:
            continue
        found |= {f"{pid}:{line.split()[4]}" for line in lines if folder in line}
    own = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return found | {point for point in own if point.startswith(NODE_MOUNTS)}


def _groups(name: str) -> set[str]:
    group = cgroups.group(name)
    return {str(path) for top in cgroups.folders(group) if top.exists() for path in [top, *top.rglob("*/")]}


def _files(name: str) -> set[str]:
    root = ClusterPaths.of(name).root
    shared = {str(path) for path in Path("/run").glob("*") if "resilience" in path.name or path.name == "netns"}
    return (
        shared
        | ({str(root)} if root.exists() else set())
        # Not every name that begins with it: shop-2 is another cluster.
        | {str(path) for path in state_root().glob(f"{name}.*") if path.exists()}
    )


def _rules() -> set[str]:
    lines = [line for tool in ("iptables-save", "ip6tables-save") for line in _output(tool)]
    # Without the packet counters in brackets.
    return {line.split("[")[0] for line in lines if any(mark in line for mark in RULE_MARKS)}


def _output(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""

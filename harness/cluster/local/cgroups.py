"""Control groups: every process of a cluster is under ``/resilience/<cluster>``, so that all can be found.

Version 1 (one hierarchy per controller), version 2 (one for all) and the hybrid of both are handled alike: a group is
created, joined, emptied and removed in every mounted hierarchy. Nothing outside ``/resilience`` is written, except
``cgroup.subtree_control`` of the ancestors in version 2, which enables controllers for child groups. The shared parent
``/resilience`` is removed with the last cluster.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.common.clock import Clock
from harness.common.errors import ClusterBroken

PARENT = "resilience"
# The controllers that a kubelet needs in version 2; others that the machine has (io, hugetlb) are enabled too.
NEEDED = frozenset({"cpu", "cpuset", "memory", "pids"})


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy. ``delegates`` is whether groups enable controllers for their children (pure version 2)."""

    mount: Path
    delegates: bool


def parse_hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """Return the hierarchies in the text of ``/proc/self/mountinfo``, each once."""
    seen: set[str] = set()
    v1: list[Path] = []
    v2: list[Path] = []
    controllers = False
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        # One hierarchy may be mounted at several places; its device number identifies it.
        if not kind or kind[0] not in {"cgroup", "cgroup2"} or fields[2] in seen:
            continue
        seen.add(fields[2])
        (v1 if kind[0] == "cgroup" else v2).append(Path(fields[4]))
        # A named hierarchy, such as systemd's, has no controllers.
        controllers |= kind[0] == "cgroup" and "name=" not in kind[-1]
    # If the controllers are in version 1, version 2 has none left to enable (the hybrid layout of systemd).
    return tuple(
        [Hierarchy(mount, False) for mount in v1] + [Hierarchy(mount, not controllers) for mount in v2],
    )


def hierarchies() -> tuple[Hierarchy, ...]:
    """Return the hierarchies of this machine. Raises ClusterBroken if no control groups are mounted."""
    found = parse_hierarchies(Path("/proc/self/mountinfo").read_text())
    if not found:
        raise ClusterBroken("no control groups are mounted on this machine (expected some at /sys/fs/cgroup)")
    return found


def is_v1() -> bool:
    """Return whether the controllers of this machine are in version 1."""
    return not any(hierarchy.delegates for hierarchy in hierarchies())


def group(cluster: str, *below: str) -> str:
    """Return the path of a group within each hierarchy, without a leading slash."""
    return "/".join([PARENT, cluster, *below])


def folders(path: str) -> list[Path]:
    """Return the group's folder in every hierarchy, whether it exists or not."""
    return [hierarchy.mount / path for hierarchy in hierarchies()]


def make(path: str, leaf: str) -> list[Path]:
    """Create a group for a kubelet's pods, and below it the group ``leaf`` for processes; return the leaf's folders.

    Two levels, because in version 2 a group that contains processes cannot enable controllers for child groups.
    """
    leaves = []
    for hierarchy in hierarchies():
        ancestor = hierarchy.mount
        for part in path.split("/"):
            if hierarchy.delegates:
                _enable_controllers(ancestor)
            ancestor = _make_one(ancestor / part)
            if part == PARENT:
                _weigh(ancestor)
        if hierarchy.delegates:
            _enable_controllers(ancestor)
        leaves.append(_make_one(ancestor / leaf))
    return leaves


def _make_one(folder: Path) -> Path:
    # parents=True: the removal of another cluster may have removed the shared parent in the meantime.
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # In version 1 a new group has empty sets, so no process can join. In version 2 they are inherited.
        value, parent = folder / name, folder.parent / name
        if value.exists() and parent.exists() and not (folder / "cgroup.controllers").exists():
            inherited = parent.read_text().strip()
            if inherited and not value.read_text().strip():
                value.write_text(inherited)
    return folder


def _weigh(folder: Path) -> None:
    """Set the CPU weight of all clusters together to that of a few processes; the default is that of one process.

    With twice the number of CPUs, other processes cannot starve a cluster, and a cluster cannot starve the load
    generator, which is outside the group.
    """
    processes_worth = 2 * (os.cpu_count() or 1)
    # The default weight of a group in version 1 and in version 2.
    for name, one in (("cpu.shares", 1024), ("cpu.weight", 100)):
        if (folder / name).exists():
            # The kernel limits cpu.weight to 10,000.
            (folder / name).write_text(str(min(processes_worth * one, 10000)))


def _enable_controllers(folder: Path) -> None:
    offered = set((folder / "cgroup.controllers").read_text().split())
    control = folder / "cgroup.subtree_control"
    if lacking := NEEDED - offered:
        raise ClusterBroken(f"{folder} lacks the cgroup controllers {', '.join(sorted(lacking))}")
    missing = offered - set(control.read_text().split())
    try:
        _enable(control, missing & NEEDED)
    except OSError as error:
        raise ClusterBroken(
            f"cannot enable the cgroup controllers for children of {folder}: {error.strerror}; in a container, "
            f"first move the processes that are directly in {folder} into a child group"
        ) from error
    for name in sorted(missing - NEEDED):
        # Enabling an available controller may be forbidden, and no pod needs these.
        with suppress(OSError):
            _enable(control, {name})


def _enable(control: Path, controllers: set[str]) -> None:
    if controllers:
        with control.open("a") as file:
            file.write(" ".join(f"+{name}" for name in sorted(controllers)) + "\n")


def processes(path: str) -> set[int]:
    """Return the ids of all processes in a group and below it, in any hierarchy."""
    found: set[int] = set()
    for top in folders(path):
        for folder in _below(top):
            with suppress(OSError):
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
    # The kernel lists a process outside of this PID namespace as 0.
    return found - {0}


def contains(path: str, pid: int) -> bool:
    """Return whether a process is in a group or below it, which proves that a recorded id was not reused.

    A process that has ended but was not reaped counts as in no group, although the kernel still lists it.
    """
    try:
        # The name in parentheses may itself contain a parenthesis, so fields are counted after the last one.
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return state not in {"Z", "X"} and any(f"{line.split(':', 2)[2]}/".startswith(f"/{path}/") for line in lines)


def end_processes(path: str, seconds: float, clock: Clock) -> None:
    """Kill every process in a group and below it, and wait up to ``seconds`` for their end. Raises ClusterBroken."""
    deadline = clock.monotonic() + seconds
    # Repeated, because a process may fork between the look and the signal.
    while remaining := processes(path):
        if clock.monotonic() > deadline:
            listed = ", ".join(str(pid) for pid in sorted(remaining))
            raise ClusterBroken(f"processes of /{path} have not ended within {seconds:g} s: {listed}")
        _thaw(path)
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(remaining)
        clock.sleep(0.02)


def _thaw(path: str) -> None:
    # In version 1, a frozen process ends only when it is thawed.
    for top in folders(path):
        for folder in _below(top):
            state = folder / "freezer.state"
            with suppress(OSError):
                if state.exists() and state.read_text().strip() != "THAWED":
                    state.write_text("THAWED")


def _reap(pids: set[int]) -> None:
    # Only children of this process can be reaped here; others are reaped by their parents.
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def remove(path: str, seconds: float, clock: Clock) -> None:
    """Remove an empty group with all child groups, and the shared parent if it was the last. Raises ClusterBroken."""
    deadline = clock.monotonic() + seconds
    while stuck := [folder for top in folders(path) for folder in _below(top) if not _removed(folder)]:
        if clock.monotonic() > deadline:
            raise ClusterBroken(f"control group {stuck[0]} cannot be removed")
        clock.sleep(0.05)
    for top in folders(PARENT):
        _removed(top)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _below(top: Path) -> Iterator[Path]:
    """Yield the folder and all folders below it, deepest first."""
    for folder, _, _ in os.walk(top, topdown=False):
        yield Path(folder)

"""Control groups: every process of a cluster lives under ``/resilience/<cluster>``, so that none can be lost.

Version 1 (one hierarchy a controller), version 2 (one for all) and the hybrid of both are handled alike: a group is
made, joined, emptied and removed in every mounted hierarchy. Nothing outside of ``/resilience`` is ever written, save
for what a child group needs from its ancestors on version 2: the controllers are passed down to it
(``cgroup.subtree_control``). The shared parent ``/resilience`` is removed with the last cluster.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.clock import Clock
from harness.errors import ClusterBroken

PARENT = "resilience"
# What a kubelet needs on version 2; what else the machine offers (io, hugetlb) is passed down too.
NEEDED = frozenset({"cpu", "cpuset", "memory", "pids"})


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy. ``delegates`` tells whether controllers are passed down in it (pure version 2)."""

    mount: Path
    delegates: bool


def parse_hierarchies(mountinfo: str) -> tuple[Hierarchy, ...]:
    """The hierarchies in the text of ``/proc/self/mountinfo``, each once."""
    seen: set[str] = set()
    v1: list[Path] = []
    v2: list[Path] = []
    controllers = False
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if not kind or kind[0] not in {"cgroup", "cgroup2"} or fields[2] in seen:
            continue
        seen.add(fields[2])
        (v1 if kind[0] == "cgroup" else v2).append(Path(fields[4]))
        controllers |= kind[0] == "cgroup" and "name=" not in kind[-1]
    return tuple(
        [Hierarchy(mount, False) for mount in v1] + [Hierarchy(mount, not controllers) for mount in v2],
    )


def hierarchies() -> tuple[Hierarchy, ...]:
    """Those of this machine. Raises ClusterBroken when no control groups are mounted."""
    found = parse_hierarchies(Path("/proc/self/mountinfo").read_text())
    if not found:
        raise ClusterBroken("no control groups are mounted on this machine (expected some at /sys/fs/cgroup)")
    return found


def is_v1() -> bool:
    """Whether the controllers of this machine are those of version 1."""
    return not any(hierarchy.delegates for hierarchy in hierarchies())


def group(cluster: str, *below: str) -> str:
    """The path of a group within each hierarchy, without a leading slash."""
    return "/".join([PARENT, cluster, *below])


def folders(path: str) -> list[Path]:
    """The group's folder in every hierarchy, whether it exists or not."""
    return [hierarchy.mount / path for hierarchy in hierarchies()]


def make(path: str, leaf: str) -> list[Path]:
    """Make a group that a kubelet can put pods in, and below it the ``leaf`` for processes. Returns the leaf's folders.

    Two levels because on version 2 a group with processes of its own cannot pass controllers down.
    """
    leaves = []
    for hierarchy in hierarchies():
        ancestor = hierarchy.mount
        for part in path.split("/"):
            if hierarchy.delegates:
                _pass_down(ancestor)
            ancestor = _make_one(ancestor / part)
            if part == PARENT:
                _weigh(ancestor)
        if hierarchy.delegates:
            _pass_down(ancestor)
        leaves.append(_make_one(ancestor / leaf))
    return leaves


def _make_one(folder: Path) -> Path:
    # Another cluster that goes down may remove the shared parent between our making it and our making the child.
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # Version 1 starts with empty sets, in which no process can run. Version 2 inherits.
        value, parent = folder / name, folder.parent / name
        if value.exists() and parent.exists() and not (folder / "cgroup.controllers").exists():
            inherited = parent.read_text().strip()
            if inherited and not value.read_text().strip():
                value.write_text(inherited)
    return folder


def _weigh(folder: Path) -> None:
    """Give all clusters together the weight of a few processes: a group starts with that of a single one.

    Twice the number of processors keeps a busy machine from starving a cluster, and a cluster from starving the load
    generator, which is outside.
    """
    processes_worth = 2 * (os.cpu_count() or 1)
    for name, one in (("cpu.shares", 1024), ("cpu.weight", 100)):
        if (folder / name).exists():
            (folder / name).write_text(str(min(processes_worth * one, 10000)))


def _pass_down(folder: Path) -> None:
    offered = set((folder / "cgroup.controllers").read_text().split())
    control = folder / "cgroup.subtree_control"
    if lacking := NEEDED - offered:
        raise ClusterBroken(f"{folder} lacks the cgroup controllers {', '.join(sorted(lacking))}")
    missing = offered - set(control.read_text().split())
    try:
        _enable(control, missing & NEEDED)
    except OSError as error:
        raise ClusterBroken(
            f"cannot pass the cgroup controllers down from {folder}: {error.strerror}; in a container, "
            f"move the processes that are directly in {folder} into a group below it first"
        ) from error
    for name in sorted(missing - NEEDED):
        # Offered is not always allowed, and no pod needs these.
        with suppress(OSError):
            _enable(control, {name})


def _enable(control: Path, controllers: set[str]) -> None:
    if controllers:
        with control.open("a") as file:
            file.write(" ".join(f"+{name}" for name in sorted(controllers)) + "\n")


def processes(path: str) -> set[int]:
    """The ids of all processes in a group and below it, in any hierarchy."""
    found: set[int] = set()
    for top in folders(path):
        for folder in _below(top):
            with suppress(OSError):
                found.update(int(line) for line in (folder / "cgroup.procs").read_text().split())
    return found - {0}


def contains(path: str, pid: int) -> bool:
    """Whether a process is in a group or below it: the proof that a remembered id is still the process meant.

    One that has ended and was not yet reaped is in none, though the kernel still shows it there.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return state not in {"Z", "X"} and any(f"{line.split(':', 2)[2]}/".startswith(f"/{path}/") for line in lines)


def end_processes(path: str, seconds: float, clock: Clock) -> None:
    """Kill every process in a group and below it, and wait until they are gone. Raises ClusterBroken if some stay."""
    deadline = clock.monotonic() + seconds
    while remaining := processes(path):
        if clock.monotonic() > deadline:
            listed = ", ".join(str(pid) for pid in sorted(remaining))
            raise ClusterBroken(f"processes of /{path} do not end within {seconds:g} s: {listed}")
        _thaw(path)
        for pid in remaining:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(remaining)
        clock.sleep(0.02)


def _thaw(path: str) -> None:
    # A frozen process of version 1 dies only once it is thawed.
    for top in folders(path):
        for folder in _below(top):
            state = folder / "freezer.state"
            with suppress(OSError):
                if state.exists() and state.read_text().strip() != "THAWED":
                    state.write_text("THAWED")


def _reap(pids: set[int]) -> None:
    # Only our own children answer; everyone else's are reaped by their parents.
    for pid in pids:
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def remove(path: str, seconds: float, clock: Clock) -> None:
    """Remove an emptied group and all below it, and the shared parent when it was the last. Raises ClusterBroken."""
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
    """The folder and all below it, deepest first."""
    for folder, _, _ in os.walk(top, topdown=False):
        yield Path(folder)

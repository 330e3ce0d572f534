"""Reads the state of a local node from outside, to find leftovers on it later, without running a program on it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from harness.cluster.local import cgroups, freezer
from harness.cluster.local.namespace_members import members, namespace_of
from harness.cluster.local.namespaces import Namespaces
from harness.cluster.nodes.control import Trace
from harness.cluster.nodes.traces import HELPERS, LIMITS, MARK, file_left, group_frozen, limit, process

# The name in parentheses may contain anything, so the state is what follows the last parenthesis.
_STOPPED = re.compile(r"\) T [^)]*$")


def look(group: str, namespaces: Namespaces, logs: Path) -> set[Trace]:
    """Return the traces of a running node's control group, processes and files. ``logs`` is its /var/log/pods."""
    return _groups(group) | _processes(group, namespaces, logs) | _files(namespaces)


def _groups(group: str) -> set[Trace]:
    limits = ((name, _read(top / name)) for top in cgroups.folders(group) for name in LIMITS)
    return {limit(name, value) for name, value in limits if value} | set(map(group_frozen, freezer.frozen_below(group)))


def _processes(group: str, namespaces: Namespaces, logs: Path) -> set[Trace]:
    pods = [path.name for path in logs.iterdir()] if logs.is_dir() else []
    found = set()
    for pid in cgroups.processes(group):
        if _STOPPED.search(_text(pid, "stat")):
            found.add(process(pid, _text(pid, "comm"), _text(pid, "cgroup"), pods, stopped=True))
        if MARK in _text(pid, "cmdline"):
            found.add(process(pid, _text(pid, "comm"), _text(pid, "cgroup"), pods))
    # Programs that the harness runs in a node's network are not in the node's groups, unlike all of the node's own.
    network = namespace_of(namespaces.holder, "net")
    for pid in members({network}, "net") if network else ():
        name, groups = _text(pid, "comm"), _text(pid, "cgroup")
        if name in HELPERS and groups and f"/{group}/" not in groups:
            found.add(process(pid, name))
    return found


def _files(namespaces: Namespaces) -> set[Trace]:
    found = set()
    for folder in ("/run", "/tmp", "/var/tmp"):  # noqa: S108 - the node's own, and only looked at
        with suppress(OSError):
            names = [path.name for path in namespaces.file(folder).iterdir()]
            found |= {file_left(f"{folder}/{name}") for name in names if "resilience" in name}
    return found


def _text(pid: int, file: str) -> str:
    return _read(Path(f"/proc/{pid}/{file}"))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""

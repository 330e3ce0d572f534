"""Finds processes by their namespaces, for example those that joined a cluster's network from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def namespace_of(pid: int, kind: str) -> str | None:
    """Return the identity of a process's namespace, such as ``net:[4026532201]``; None if the process has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return None


def all_processes() -> Iterator[int]:
    """Yield the ids of all processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def members(namespaces: set[str], kind: str) -> set[int]:
    """Return the ids of all processes in one of these namespaces."""
    return {pid for pid in all_processes() if namespace_of(pid, kind) in namespaces}

"""Finding processes by the namespaces they are in: those that joined a cluster's network from outside, for example."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def namespace_of(pid: int, kind: str) -> str | None:
    """The identity of a process's namespace, ``net:[4026532201]`` for instance; None when it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return None


def all_processes() -> Iterator[int]:
    """The ids of all processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name)


def members(namespaces: set[str], kind: str) -> set[int]:
    """All processes that are in one of these namespaces."""
    return {pid for pid in all_processes() if namespace_of(pid, kind) in namespaces}

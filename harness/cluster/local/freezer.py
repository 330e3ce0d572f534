"""Freezes all processes in a control group and below it, in version 1 (the freezer hierarchy) and version 2."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from harness.cluster.local import cgroups
from harness.common.clock import Clock
from harness.common.errors import ClusterBroken, TimedOut
from harness.common.waiting import wait_until

# Files of a group on version 1, and on version 2.
V1 = "freezer.state"
V2 = "cgroup.freeze"
V2_EVENTS = "cgroup.events"
SECONDS = 20.0


def is_frozen(path: str) -> bool:
    """Return whether a group is frozen or being frozen. False if there is no such group."""
    folder = _folder(path)
    return folder is not None and _does_freeze(folder)


def frozen_below(path: str) -> list[str]:
    """Return the groups at and below a group that are frozen or being frozen: ``.`` is the group itself."""
    top = _folder(path)
    if top is None:
        return []
    # Not rglob: groups may be removed during the walk, which os.walk ignores.
    folders = (Path(folder) for folder, _, _ in os.walk(top))
    return [str(folder.relative_to(top)) for folder in folders if _does_freeze(folder)]


def freeze(path: str, clock: Clock) -> None:
    """Freeze a group, and wait until none of its processes runs. Raises ClusterBroken after ``SECONDS``."""
    _write(path, "FROZEN", "1")

    def look() -> tuple[bool | None, str]:
        # Written again: in version 1, a process that is just being started may escape the first write.
        _write(path, "FROZEN", "1")
        return _has_stopped(path) or None, "some of its processes still run"

    try:
        wait_until(f"/{path} to be frozen", look, SECONDS, clock, every=0.02)
    except TimedOut as error:
        # A node with only some of its processes frozen is neither running nor paused.
        _write(path, "THAWED", "0")
        raise ClusterBroken(str(error)) from error


def thaw(path: str) -> None:
    """Thaw a group. Raises ClusterBroken if it stays frozen."""
    if is_frozen(path):
        _write(path, "THAWED", "0")
    if is_frozen(path):
        raise ClusterBroken(f"the control group /{path} stays frozen, because a parent of it is frozen")


def _has_stopped(path: str) -> bool:
    folder = _folder(path)
    if folder is None:
        return False
    if (folder / V1).exists():
        return (folder / V1).read_text().strip() == "FROZEN"
    # cgroup.freeze holds only the request; the kernel confirms it in cgroup.events once every process is stopped.
    return "frozen 1" in (folder / V2_EVENTS).read_text().splitlines()


def _does_freeze(folder: Path) -> bool:
    with suppress(OSError):
        return (folder / V1).read_text().strip() != "THAWED"
    with suppress(OSError):
        return (folder / V2).read_text().strip() == "1"
    return False


def _write(path: str, v1: str, v2: str) -> None:
    folder = _folder(path)
    if folder is None:
        raise ClusterBroken(f"/{path} is no control group that can be frozen")
    if (folder / V1).exists():
        (folder / V1).write_text(v1)
    else:
        (folder / V2).write_text(v2)


def _folder(path: str) -> Path | None:
    """Return the group's folder in the hierarchy that can freeze: version 1 if there is one, as runc does too."""
    found = [folder for folder in cgroups.folders(path) if (folder / V1).exists()]
    found += [folder for folder in cgroups.folders(path) if (folder / V2).exists()]
    return found[0] if found else None

"""Freezing all processes of a control group and below it, on version 1 (the freezer hierarchy) and version 2 alike."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from harness.clock import Clock
from harness.cluster.local import cgroups
from harness.errors import ClusterBroken, TimedOut
from harness.waiting import wait_until

# Files of a group on version 1, and on version 2.
V1 = "freezer.state"
V2 = "cgroup.freeze"
V2_EVENTS = "cgroup.events"
SECONDS = 20.0


def is_frozen(path: str) -> bool:
    """Whether a group is frozen, or on its way to it. False when there is no such group."""
    folder = _folder(path)
    return folder is not None and _does_freeze(folder)


def frozen_below(path: str) -> list[str]:
    """The groups of a group that are frozen, or on their way to it: ``.`` is itself."""
    top = _folder(path)
    if top is None:
        return []
    # Not a glob: groups go while it looks.
    folders = (Path(folder) for folder, _, _ in os.walk(top))
    return [str(folder.relative_to(top)) for folder in folders if _does_freeze(folder)]


def freeze(path: str, clock: Clock) -> None:
    """Freeze a group, and return when no process of it runs any more. Raises ClusterBroken."""
    _write(path, "FROZEN", "1")

    def look() -> tuple[bool | None, str]:
        # Asked for again: a process that is being started slips through once on version 1.
        _write(path, "FROZEN", "1")
        return _stands_still(path) or None, "some of its processes still run"

    try:
        wait_until(f"/{path} to stand still", look, SECONDS, clock, every=0.02)
    except TimedOut as error:
        _write(path, "THAWED", "0")
        raise ClusterBroken(str(error)) from error


def thaw(path: str) -> None:
    """Let a group go on. Raises ClusterBroken when it stays frozen."""
    if is_frozen(path):
        _write(path, "THAWED", "0")
    if is_frozen(path):
        raise ClusterBroken(f"the control group /{path} stays frozen: one above it is")


def _stands_still(path: str) -> bool:
    folder = _folder(path)
    if folder is None:
        return False
    if (folder / V1).exists():
        return (folder / V1).read_text().strip() == "FROZEN"
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
        raise ClusterBroken(f"/{path} has no control group that can be frozen")
    if (folder / V1).exists():
        (folder / V1).write_text(v1)
    else:
        (folder / V2).write_text(v2)


def _folder(path: str) -> Path | None:
    """The group in the hierarchy that freezes: that of version 1 where there is one, since runc uses it, too."""
    found = [folder for folder in cgroups.folders(path) if (folder / V1).exists()]
    found += [folder for folder in cgroups.folders(path) if (folder / V2).exists()]
    return found[0] if found else None

"""Shortages of a machine that may keep nodes in containers from starting: added to an error, never an error themselves.

The inotify limits are from kind's page of known issues ("Pod errors due to too many open files"); the memory was
measured with one control plane and two workers.
"""

from __future__ import annotations

import re
from pathlib import Path

INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
MEMORY_MIB = 1536


def shortages(root: Path = Path("/proc")) -> list[str]:
    """Return one sentence for each shortage; empty if there is none or the files cannot be read."""
    found = [_too_few(root / "sys/fs/inotify" / name, least) for name, least in INOTIFY.items()]
    return [sentence for sentence in (*found, _too_little_memory(root / "meminfo")) if sentence]


def _too_few(setting: Path, least: int) -> str:
    try:
        value = int(setting.read_text())
    except (OSError, ValueError):
        return ""
    if value >= least:
        return ""
    name = f"fs.inotify.{setting.name}"
    return f"{name} is {value}, nodes may need {least} (raise it: sysctl {name}={least})"


def _too_little_memory(meminfo: Path) -> str:
    try:
        match = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return ""
    free = int(match[1]) // 1024 if match else MEMORY_MIB
    return f"{free} MiB of memory are available, a cluster needs about {MEMORY_MIB}" if free < MEMORY_MIB else ""

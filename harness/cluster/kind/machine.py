"""What a machine may be short of when nodes in containers do not come up: told beside a failure, never a reason alone.

The numbers are those of kind's page of known issues ("Pod errors due to too many open files") and of a cluster of one
control plane and two workers as measured.
"""

from __future__ import annotations

import re
from pathlib import Path

INOTIFY = {"max_user_instances": 512, "max_user_watches": 524288}
MEMORY_MIB = 1536


def shortages(root: Path = Path("/proc")) -> list[str]:
    """One sentence for each, empty when there is none or the machine does not say."""
    found = [_too_few(root / "sys/fs/inotify" / name, least) for name, least in INOTIFY.items()]
    return [sentence for sentence in (*found, _too_little_memory(root / "meminfo")) if sentence]


def _too_few(setting: Path, least: int) -> str:
    try:
        value = int(setting.read_text())
    except (OSError, ValueError):
        return ""
    if value >= least:
        return ""
    return (
        f"fs.inotify.{setting.name} is {value}, with which nodes may fail (raise it: sysctl {_name(setting)}={least})"
    )


def _name(setting: Path) -> str:
    return f"fs.inotify.{setting.name}"


def _too_little_memory(meminfo: Path) -> str:
    try:
        match = re.search(r"^MemAvailable:\s*(\d+) kB", meminfo.read_text(), re.MULTILINE)
    except OSError:
        return ""
    free = int(match[1]) // 1024 if match else MEMORY_MIB
    return f"{free} MiB of memory are available, a cluster needs about {MEMORY_MIB}" if free < MEMORY_MIB else ""

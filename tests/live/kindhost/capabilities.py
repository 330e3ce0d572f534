"""What this machine lacks that Docker and kind take for granted: decides which of the recipe's workarounds are on."""

from __future__ import annotations

import platform
import re
from pathlib import Path

CAP_SYS_RESOURCE = 24


def may_raise_limits() -> bool:
    """Whether CAP_SYS_RESOURCE is among the capabilities that a process here can ever have."""
    bounding = re.search(r"^CapBnd:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bounding is not None and bool(int(bounding[1], 16) >> CAP_SYS_RESOURCE & 1)


def unlike(suite: str) -> str:
    """Why this is not the Debian that the recipe is for, whose packages it mixes with those of the nodes; or empty."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    if (release.get("ID"), release.get("VERSION_CODENAME")) == ("debian", suite):
        return ""
    here = release.get("PRETTY_NAME", "no Linux that says its name")
    return f"a node image is made on Debian {suite}, and this is {here}"

"""Paths without symbolic links."""

from __future__ import annotations

import os
from pathlib import Path


def resolved(path: Path) -> Path:
    """Return the absolute path without symbolic links; a loop of links stays, so that opening it fails.

    `Path.resolve` raises RuntimeError for a loop before Python 3.13. Raises ValueError if the path contains a NUL.
    """
    return Path(os.path.realpath(path))

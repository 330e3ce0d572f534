"""Find the experiment files of a folder, and those of game days."""

from __future__ import annotations

import re
from pathlib import Path

from harness.common.file_text import SUFFIXES, decode
from harness.experiment.declaration import API_VERSION

HEAD = 65_536


_API_VERSION = re.compile(rf"""(?:^|[{{,\s])["']?apiVersion["']?\s*:\s*["']?{API_VERSION.partition("/")[0]}/""")


_LOAD_PROFILE = re.compile(r"""["']?kind["']?\s*:\s*["']?LoadProfile\b""")


# A misspelt kind such as Gameday is that of a game day too: its loader reports what is expected.
_GAME_DAY = re.compile(r"""(?:^|[{,\s])["']?kind["']?\s*:\s*["']?game[-_]?day\b""", re.IGNORECASE)


# Without any apiVersion a file belongs to no other program, so that a forgotten one is reported and not ignored.
_ANY_API_VERSION = re.compile(r"""(?:^|[{,\s])["']?apiVersion["']?\s*:""")


def is_experiment(path: Path) -> bool:
    """Return whether a YAML or JSON file has the apiVersion of an experiment in its first ``HEAD`` bytes."""
    # Decided by the apiVersion, not by the kind, so that a file with a misspelt kind is reported and not ignored.
    head = _head(path)
    return bool(_API_VERSION.search(head)) and not _LOAD_PROFILE.search(head) and not _GAME_DAY.search(head)


def is_game_day(path: Path) -> bool:
    """Return whether a YAML or JSON file has the kind of a game day in its first ``HEAD`` bytes, and its apiVersion
    or none at all."""
    head = _head(path)
    ours = _API_VERSION.search(head) or not _ANY_API_VERSION.search(head)
    return bool(ours) and bool(_GAME_DAY.search(head))


def _head(path: Path) -> str:
    # Only regular files: reading a pipe or a device might never end.
    if path.suffix not in SUFFIXES or not path.is_file():
        return ""
    try:
        with path.open("rb") as stream:
            # Only ASCII text is searched for; a wrong encoding is reported with its place when the file is loaded.
            return decode(stream.read(HEAD), errors="replace")
    except OSError:
        return ""


def experiment_files(path: Path) -> list[Path]:
    """Return the experiment files below a folder, sorted; a path that is not a folder is returned as it is."""
    return [file for file in sorted(path.rglob("*")) if is_experiment(file)] if path.is_dir() else [path]


def game_day_files(path: Path) -> list[Path]:
    """Return the game day files below a folder, sorted; a path that is not a folder is returned if it is one."""
    return [file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if is_game_day(file)]

"""Find the experiment files of a folder."""

from __future__ import annotations

import re
from pathlib import Path

from harness.common.file_text import SUFFIXES, decode
from harness.experiment.declaration import API_VERSION

HEAD = 65_536


_API_VERSION = re.compile(rf"""(?:^|[{{,\s])["']?apiVersion["']?\s*:\s*["']?{API_VERSION.partition("/")[0]}/""")


_LOAD_PROFILE = re.compile(r"""["']?kind["']?\s*:\s*["']?LoadProfile\b""")


def is_experiment(path: Path) -> bool:
    """Return whether a YAML or JSON file has the apiVersion of an experiment in its first ``HEAD`` bytes."""
    # Only regular files: reading a pipe or a device might never end.
    if path.suffix not in SUFFIXES or not path.is_file():
        return False
    try:
        with path.open("rb") as stream:
            # Only ASCII text is searched for; a wrong encoding is reported with its place when the file is loaded.
            head = decode(stream.read(HEAD), errors="replace")
    except OSError:
        return False
    # Decided by the apiVersion, not by the kind, so that a file with a misspelt kind is reported and not ignored.
    return bool(_API_VERSION.search(head)) and not _LOAD_PROFILE.search(head)


def experiment_files(path: Path) -> list[Path]:
    """Return the experiment files below a folder, sorted; a path that is not a folder is returned as it is."""
    return [file for file in sorted(path.rglob("*")) if is_experiment(file)] if path.is_dir() else [path]

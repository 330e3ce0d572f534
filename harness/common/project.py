"""The folders that a session searches for its own files: guard file, halt file, workloads, load profiles.

pytest derives its rootdir from the common ancestor of all command-line arguments, including the values of options that
it has not loaded yet (``--kubeconfig ../kc.yaml``). The rootdir may therefore be above the project, so nothing that
protects a cluster may depend on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.common.real_paths import resolved

# For messages: what `root_of` returns.
ROOT_RULE = (
    "the project is the nearest folder upwards with .git, else with pytest's configuration, else the folder above "
    "experiments/"
)
_CONFIGURATIONS = ("pyproject.toml", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")


@dataclass(frozen=True, slots=True)
class Project:
    """The folders where upward searches start: the experiments' folders, the current folder and pytest's rootdir."""

    starts: tuple[Path, ...]

    @classmethod
    def of(cls, starts: Iterable[Path]) -> Project:
        """Return the project of these folders, in order and without duplicates."""
        return cls(tuple(dict.fromkeys(start.absolute() for start in starts)))

    def beside(self, folders: Iterable[Path]) -> Project:
        """Return the project with more folders, searched first because they are closer to the experiments."""
        return Project.of((*folders, *self.starts))

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders to search, without duplicates; every start comes before its parents."""
        return tuple(dict.fromkeys(folder for start in self.starts for folder in upwards(start)))

    def find(self, names: Iterable[str | Path]) -> list[Path]:
        """Return all files with one of these names; a file that is reachable by two paths is returned once."""
        found = [folder / name for folder in self.folders for name in names if is_there(folder / name)]
        return list({os.path.realpath(file): file for file in reversed(found)}.values())[::-1]


def upwards(start: Path) -> Iterator[Path]:
    """Yield a folder and its parents, up to the root of its repository, the home folder or the file system's root.

    For a folder behind a symbolic link, the parents of the link and of its target are both searched.
    """
    for first in dict.fromkeys((start.absolute(), resolved(start))):
        for folder in (first, *first.parents):
            yield folder
            if str(folder) == os.environ.get("HOME") or is_there(folder / ".git"):
                break


def root_of(folder: Path) -> Path:
    """Return the root of the project that a folder belongs to.

    It is the nearest folder upwards with ``.git``; without one, the nearest with pytest's configuration; else the
    folder that contains ``experiments/``, or the folder itself. Unlike pytest's rootdir it does not depend on the
    command line.
    """
    folders = list(upwards(folder))
    for names in ((".git",), _CONFIGURATIONS):
        for each in folders:
            if any(is_there(each / name) for name in names):
                return each
    return next((each.parent for each in folders if each.name == "experiments"), folder)


def is_there(file: Path) -> bool:
    """Return whether a file exists or may exist: a guard file without read permission must count as a guard."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True
    return True

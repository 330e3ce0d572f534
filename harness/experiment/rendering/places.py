"""Where the files of a kustomization or a chart may lie: inside the project of the experiment that names them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.common.documents import Place
from harness.common.errors import InputError, Problem
from harness.common.project import ROOT_RULE, root_of
from harness.common.real_paths import resolved
from harness.experiment.sources import Sources


@dataclass(frozen=True, slots=True)
class Places:
    """The folders that paths in one experiment are relative to, and the project that they must not leave.

    ``problem`` makes the problem of a field below ``workload``.
    """

    beside: Path
    sources: Sources
    problem: Callable[[Place, str], Problem]

    @property
    def root(self) -> Path:
        """The project's root folder, resolved."""
        return resolved(root_of(self.beside))

    def existing(self, name: str, place: Place, expected: str) -> Path:
        """Return the resolved path of a file or folder of the project. Raises InputError."""
        outside = None
        for folder in (self.beside, *self.sources.experiments):
            try:
                found = resolved(folder / name)
                there = found.exists()
            except (OSError, ValueError):
                # The name is too long for a path or contains a NUL.
                break
            if there and found.is_relative_to(self.root):
                return found
            outside = outside or (found if there else None)
        if outside:
            found_at = f"found {name!r}, which is {outside} outside of the project"
            message = f"{found_at}; expected a path inside {self.root} ({ROOT_RULE})"
            raise InputError([self.problem(place, message)])
        message = f"found {name!r}, which does not exist; expected {expected}, relative to {self.beside}"
        raise InputError([self.problem(place, message)])

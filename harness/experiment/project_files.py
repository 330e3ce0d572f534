"""The files of a project that a session uses: the guard, the halt file, workloads and load profiles."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.common.errors import ClusterRefused
from harness.common.project import Project
from harness.experiment.loading import Names
from harness.experiment.sources import Sources
from harness.safety.guard.files import FoundGuard, find_guard
from harness.safety.halt.order import Halt, read_files


class ProjectFiles:
    """The files of a project.

    ``here`` is the folder where the session was started; paths on the command line are relative to it. ``guard`` is
    the guard file given there, if any, and ``halt`` the name of the halt file.
    """

    def __init__(self, here: Path, guard: Path | None, halt: Path, starts: Iterable[Path] = ()) -> None:
        self.names = Names()
        self._named = here / guard if guard else None
        self._halt = halt
        self._project = Project.of((here, *starts))
        self._guard: FoundGuard | None = None

    def add(self, folders: Iterable[Path]) -> None:
        """Also search from these folders, which contain the collected experiments."""
        self._project = self._project.beside(folders)
        self._guard = None

    def guard(self) -> FoundGuard:
        """Return the guard of all folders added so far. Raises InputError."""
        self._guard = self._guard or find_guard(self._project, self._named)
        return self._guard

    def sources(self, file: Path | None = None) -> Sources:
        """Return where workloads and profiles are looked up: for one experiment's file, or for the whole project."""
        return Sources.for_file(file, self._project) if file else Sources.for_roots(self._project.folders)

    @property
    def halt_files(self) -> list[Path]:
        """The paths of the halt files. The session halts as soon as one of them exists."""
        return [folder / self._halt for folder in self._project.folders]

    def refuse_halted(self) -> None:
        """Raise ClusterRefused if one of the halt files exists."""
        refuse(read_files(self.halt_files))

    def describe(self) -> str:
        """Return one line about the guard files and the halt file. Raises InputError."""
        halt = read_files(self.halt_files) or f"no halt file {self._halt} found"
        return f"{self.guard().describe(self._project)}; {halt}"


def refuse(halt: Halt | str | None) -> None:
    """Raise ClusterRefused if there is a halt order."""
    if halt:
        raise ClusterRefused(f"no experiment may start: {halt}")

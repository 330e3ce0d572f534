"""Where workloads and load profiles named in experiment files are looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.common.progress import Lines, Progress
from harness.common.project import Project
from harness.common.real_paths import resolved
from harness.common.shipped import shipped
from harness.traffic.load.catalogue import Catalogue

BUILTIN = "builtin/"
WORKLOADS = "workloads"
SHIPPED = shipped("experiments") / WORKLOADS


@dataclass(frozen=True, slots=True)
class Sources:
    """The folders to search: those of the project first, then those that the harness ships."""

    experiments: tuple[Path, ...]
    load: Catalogue
    # Shows what takes long before a run starts: building a program that renders manifests.
    progress: Progress = field(default_factory=Lines, compare=False)
    # Whether charts and kustomizations are rendered. Not in a session that runs no experiment: it may be a user's own
    # tests, and rendering may build a program or pull a chart.
    rendering: bool = True

    @classmethod
    def for_root(cls, root: Path) -> Sources:
        """Return the sources of a project in a single folder."""
        return cls.for_roots((root,))

    @classmethod
    def for_roots(cls, roots: Sequence[Path]) -> Sources:
        """Return the sources of a project with ``experiments/`` and ``loadprofiles/`` below these roots.

        The first root with a match is used.
        """
        return cls(tuple(root / "experiments" for root in roots), Catalogue.for_roots(roots))

    @classmethod
    def for_file(cls, file: Path, project: Project) -> Sources:
        """Return the sources of an experiment's file: from its folder upwards, then the project's other folders."""
        return cls.for_roots(project.beside([file.parent]).folders)

    @property
    def described(self) -> str:
        """The folders to search for workloads, for a message."""
        return ", ".join(str(folder) for folder in self.experiments if folder.is_dir()) or str(self.experiments[0])

    def workloads(self) -> dict[str, Path]:
        """Return the folders in ``workloads/`` by the name in experiments; the shipped ones are ``builtin/NAME``."""
        roots = [(f"{WORKLOADS}/", root / WORKLOADS) for root in self.experiments] + [(BUILTIN, SHIPPED)]
        found: dict[str, Path] = {}
        for prefix, root in roots:
            for folder in sorted(root.iterdir()) if root.is_dir() else ():
                if folder.is_dir():
                    found.setdefault(f"{prefix}{folder.name}", folder)
        return found

    def workload_folder(self, name: str, beside: Path) -> Path | None:
        """Return the folder of a workload, or None. Never returns a folder outside of the folders searched."""
        if name.startswith(BUILTIN):
            roots = [SHIPPED]
            name = name.removeprefix(BUILTIN)
        else:
            roots = [beside, *self.experiments]
        for root in roots:
            try:
                folder = resolved(root / name)
                # Checked after resolving, so that neither ".." nor a symbolic link leads out of the folder.
                if folder.is_dir() and folder.is_relative_to(resolved(root)):
                    return folder
            except (OSError, ValueError):
                # The name is too long for a path or contains a NUL, so no such folder can exist.
                return None
        return None

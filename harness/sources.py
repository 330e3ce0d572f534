"""Where names in experiment files are looked up: the project's folders first, then what the harness ships."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.load.catalogue import Catalogue
from harness.shipped import shipped

BUILTIN = "builtin/"
SHIPPED = shipped("experiments") / "workloads"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where names in experiment files are looked up: the project's folders first, then what the harness ships."""

    experiments: Path
    load: Catalogue

    @classmethod
    def for_root(cls, root: Path) -> Sources:
        """Of a project whose experiments and load profiles stand in the folders of these names."""
        return cls(root / "experiments", Catalogue.for_root(root))

    def workload_folder(self, name: str, beside: Path) -> Path | None:
        """The folder of a workload; never outside of the folders that may be named."""
        if name.startswith(BUILTIN):
            roots = [SHIPPED]
            name = name.removeprefix(BUILTIN)
        else:
            roots = [beside, self.experiments]
        for root in roots:
            try:
                folder = (root / name).resolve()
                if folder.is_dir() and folder.is_relative_to(root.resolve()):
                    return folder
            except (OSError, ValueError):
                # Too long for a path, or with a NUL in it: there is no such folder.
                return None
        return None

"""The live workload of an experiment: what its file declares, and the checks that wait for its objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.common.errors import Problem
from harness.experiment.manifests import Workload
from harness.experiment.workload_source import CopySelection, LiveSelection, WorkloadSource


@dataclass(frozen=True, slots=True)
class LiveWorkload:
    """A workload that is read from a namespace once a run is connected.

    ``check`` makes the checks of the experiment's file that need the objects, and returns all problems. ``problem``
    returns a problem at the place of the source in the file.
    """

    source: WorkloadSource
    check: Callable[[Workload], list[Problem]]
    problem: Callable[[str], Problem]

    @property
    def selection(self) -> LiveSelection:
        """The selected objects."""
        found = self.source.copy_of or self.source.existing
        if found is None:
            raise ValueError(f"{self.source} is not read from a cluster")
        return found

    @property
    def copied(self) -> CopySelection | None:
        """The selected objects if they are to be copied, or None."""
        return self.source.copy_of

    @property
    def existing(self) -> str:
        """The namespace if the objects are used in place, or an empty string."""
        return self.source.existing.namespace if self.source.existing else ""


def unread_note(source: WorkloadSource) -> str:
    """Return a sentence about a live workload for commands that connect to no cluster."""
    return f"{source}: its objects are read, and checked, when a run is connected to the cluster"

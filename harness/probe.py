"""A probe looks at one thing and writes what it saw on the timeline; it never judges.

``WatchProbe`` follows a resource by list and watch: no dip is missed between two polls. ``SnapshotProbe`` looks when
the runner asks it to: before the fault and after the recovery. The kinds stand in ``harness/probes``, one file each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.clock import Clock
from harness.cluster.api import Object
from harness.cluster.permissions import Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import Resource
from harness.observation import Timeline


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a watch probe makes of one event: a subject of its series and a value (see ``observation`` for shapes).

    ``wall`` is the server's own time for it in Unix seconds, where the object tells one.
    """

    subject: str
    value: Any
    wall: float | None = None


class WatchProbe(ABC):
    """Turns the events of one watched resource into sightings. One instance serves one run and may keep state."""

    series: str
    resource: Resource
    selector: str = ""
    namespaced: bool = True
    # Whether an experiment goes without it where the API server does not allow it.
    optional: bool = False

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the API server must allow."""
        return allow(self.resource, "list", "watch", place="experiment" if self.namespaced else "cluster")

    @abstractmethod
    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        """``event`` is SYNC (from the list before the watch), ADDED, MODIFIED or DELETED."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """What a snapshot probe may use."""

    cluster: Cluster
    namespace: str
    timeline: Timeline
    clock: Clock


class SnapshotProbe(ABC):
    """Looks once, when asked, and appends what it saw (or the error) to the timeline."""

    @property
    def permissions(self) -> frozenset[Permission]:
        """What the API server must allow."""
        return frozenset()

    @abstractmethod
    def look(self, context: ProbeContext) -> None:
        """Append observations; errors of the cluster become observations with ``error``, never exceptions."""

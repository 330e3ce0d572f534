"""Probes: each observes one aspect of the cluster and adds observations to the timeline. Probes do not judge.

A ``WatchProbe`` follows a resource by list and watch, so no short change is missed between two polls. A
``SnapshotProbe`` runs when the runner calls it: before the fault and after the recovery. Each kind has its own file in
``harness/probes``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import Resource
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.model.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Sighting:
    """A subject of the probe's series and a value, derived from one event (see ``observation`` for the values).

    ``wall`` is the server's time of the event in Unix seconds, if the object contains one.
    """

    subject: str
    value: Any
    wall: float | None = None


class WatchProbe(ABC):
    """Converts the events of one watched resource into sightings. An instance serves one run and may keep state."""

    series: str
    resource: Resource
    selector: str = ""
    namespaced: bool = True
    # Whether an experiment runs without this probe if its permissions are denied.
    optional: bool = False

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions that the probe needs."""
        return allow(self.resource, "list", "watch", place="experiment" if self.namespaced else "cluster")

    @abstractmethod
    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        """Return the sightings of an event: SYNC (from the list before the watch), ADDED, MODIFIED or DELETED."""


@dataclass(frozen=True, slots=True)
class ProbeContext:
    """The cluster, namespace, timeline and clock that a snapshot probe uses."""

    cluster: Cluster
    namespace: str
    timeline: Timeline
    clock: Clock


class SnapshotProbe(ABC):
    """Takes one snapshot per call and adds it to the timeline."""

    @property
    def permissions(self) -> frozenset[Permission]:
        """The permissions that the probe needs."""
        return frozenset()

    @abstractmethod
    def look(self, context: ProbeContext) -> None:
        """Take a snapshot. Errors of the cluster are added as observations with ``error`` and are never raised."""

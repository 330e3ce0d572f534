"""One copy of a workload while it is watched: a namespace of its own, the load on it, and a timeline of what was seen.

An experiment has one arm that is broken. With a control arm it has a second one, under the same load at the same time,
that nothing is done to: what happens to both is the machine's doing, and not the fault's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from harness import arrange
from harness.cluster.api import Object
from harness.cluster.permissions import denied
from harness.experiment import Experiment, Load
from harness.observation import Timeline
from harness.observers import Observers
from harness.probe import ProbeContext, SnapshotProbe, WatchProbe
from harness.probes.standard import standard_probes
from harness.run import Run
from harness.target_load import TargetLoad
from harness.timeouts import LOAD_READY, OBSERVERS_READY


class Arm:
    """The steps that are the same for every arm. ``name`` stands before whatever goes wrong with it; it may be empty.

    Arms share the axis of time and the phases of ``timeline``, the timeline of the arm that is broken.
    """

    def __init__(
        self, run: Run, experiment: Experiment, *, namespace: str, folder: Path, timeline: Timeline, name: str = ""
    ) -> None:
        self.namespace = namespace
        self.timeline = timeline
        self.made = False
        self._run = run
        self._experiment = experiment
        self._folder = folder
        self._name = name
        self._load: TargetLoad | None = None
        self._observers: Observers | None = None

    def make(self) -> None:
        """Make the namespace."""
        arrange.make_namespace(self._run.cluster.api, self.namespace, self._run.id, self._experiment.name)
        self.made = True

    def apply(self, objects: Sequence[Object]) -> None:
        """Apply the workload. Raises Inconclusive."""
        arrange.apply_workload(self._run.cluster.api, self.namespace, objects)

    def wait_ready(self, objects: Sequence[Object]) -> None:
        """Wait until the workload is ready. Raises Inconclusive."""
        arrange.wait_for_workload(self._run.cluster.api, self.namespace, objects, self._run.clock, self._run.go_on)

    def watch(self) -> AbstractContextManager[Observers]:
        """The observers; they watch while the context lasts."""
        probes = [probe for probe in standard_probes() if not probe.optional or self._may_watch(probe)]
        self._observers = Observers(self._run.cluster, self.namespace, self.timeline, self._run.clock, probes)
        return self._observers

    def _may_watch(self, probe: WatchProbe) -> bool:
        return not denied(self._run.cluster.api, probe.permissions, self.namespace, self._run.granted)

    def wait_watching(self) -> None:
        """Wait until every observer has its first list. Raises Inconclusive."""
        if self._observers:
            self._observers.wait_ready(OBSERVERS_READY, self._run.go_on)

    def start_load(self, load: Load, seconds: float) -> AbstractContextManager[TargetLoad]:
        """Start the load, which ends by itself some time after so many seconds; stopped when the context is left."""
        self._load = TargetLoad(
            self._run, self._experiment.title, self.namespace, load, folder=self._folder, seconds=seconds
        )
        return self._load

    def wait_loaded(self) -> None:
        """Wait until the load reaches its target. Raises Inconclusive."""
        if self._load:
            self._load.wait_ready(LOAD_READY)

    def phase(self, name: str, at: float) -> None:
        """A phase began at a monotonic instant."""
        if self._load:
            self._load.phase(name, at)

    def failures(self) -> Iterator[str]:
        """What of it is dead."""
        dead = [self._observers.alive() if self._observers else None, self._load.failure() if self._load else None]
        yield from (f"{self._name}: {why}" if self._name else why for why in dead if why)

    def look(self, probes: Iterable[SnapshotProbe]) -> None:
        """Let snapshot probes look once."""
        context = ProbeContext(self._run.cluster, self.namespace, self.timeline, self._run.clock)
        for probe in probes:
            probe.look(context)

    def read_requests(self) -> None:
        """Bring the requests of the load so far onto the timeline."""
        if self._load:
            self.timeline.requests = self._load.requests(self.timeline.origin)

    def stop_load(self) -> None:
        """End the load and bring what it did onto the timeline."""
        if self._load:
            self.timeline.load = self._load.stop()
            self.read_requests()

    def stop_watching(self) -> None:
        """From now on the timeline does not grow by itself."""
        if self._observers:
            self._observers.stop()

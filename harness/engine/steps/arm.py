"""One copy of a workload under observation: its namespace, its load and its timeline.

An experiment has one arm with faults. A control arm is a second copy under the same load at the same time, without
faults: what happens to both arms is not caused by the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Self

from harness.cluster.kube import namespaces
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import denied
from harness.common.timeouts import LOAD_READY, OBSERVERS_READY
from harness.engine.steps import deploy
from harness.engine.steps.apply_order import Stages
from harness.engine.steps.load import TargetLoad
from harness.engine.steps.load_pods import POD_SECURITY
from harness.engine.steps.metrics_watch import MetricsWatch
from harness.engine.steps.ready_time import ready_time
from harness.engine.steps.run import Run
from harness.engine.steps.site import Site
from harness.experiment.declaration import Experiment
from harness.experiment.isolation import OwnNamespace, isolated
from harness.experiment.load import Load
from harness.experiment.places import home_of, homes_of
from harness.model.phase_names import PHASES
from harness.model.request_store import RequestStore
from harness.model.requests import Requests
from harness.model.timeline import Timeline, all_together
from harness.probes.base import ProbeContext, SnapshotProbe, WatchProbe
from harness.probes.observers import Observers
from harness.probes.prometheus.ready import ScrapeGate
from harness.probes.standard import standard_probes
from harness.traffic.target.declaration import Target


class Arm:
    """The steps that are the same for every arm. ``name`` is a prefix for messages about its failures.

    It is empty for the arm with faults.

    All arms share the time axis and the phases of the timeline of the arm with faults.
    """

    def __init__(self, run: Run, experiment: Experiment, *, folder: Path, timeline: Timeline, name: str = "") -> None:
        self.namespace = run.namespace_of(experiment, control=bool(name))
        self.load_namespace = run.load_namespace_of(experiment, control=bool(name))
        self.timeline = timeline
        self.made: list[str] = []
        self.isolated = isolated((), self.namespace)
        # Those to apply: marked as those of this run where that is needed.
        self.objects: list[Object] = []
        self._run = run
        self._experiment = experiment
        self._folder = folder
        self._name = name
        # The namespace of the pods that generate the load, once it is made.
        self._pods_in = ""
        # By name; a single one has none. The place of each is the source of its requests in the store.
        self._loads: dict[str, TargetLoad] = {}
        self._requests = RequestStore()
        self._observers: list[Observers] = []
        self._metrics: list[MetricsWatch] = []

    def isolate(self, experiment: Experiment, objects: Sequence[Object]) -> None:
        """Choose the namespaces of this arm for the objects of a workload, and rewrite the objects for them."""
        self._experiment = experiment
        self.isolated = self._run.isolated(experiment, objects, control=bool(self._name))
        self.objects = list(self.isolated.objects)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces of this arm, the main one first; they may not exist yet."""
        return [own.name for own in self.isolated.namespaces]

    def diagnosed(self) -> Iterator[tuple[str, str]]:
        """Yield each namespace with a folder for its diagnostics."""
        for own in self.isolated.namespaces:
            yield own.name, "cluster" if own.name == self.namespace else f"cluster/{own.replaces}"
        if self._pods_in:
            yield self._pods_in, "load/cluster"

    def place(self, home: str) -> str:
        """Return the namespace of this arm that replaces one of the published workload."""
        return next((own.name for own in self.isolated.namespaces if own.replaces == home), self.namespace)

    def within(self, target: Target) -> str:
        """Return the namespace of this arm with the object of a target."""
        return self.place(home_of(f"{target.kind}/{target.name}", self._experiment.workload))

    def make(self, own: OwnNamespace, claim: str) -> None:
        """Create one of the namespaces, with the claim from its journal entry. Raises ApiError."""
        namespaces.make_namespace(
            self._run.cluster.api,
            own.name,
            self._run.id,
            self._experiment.label,
            claim,
            labels=own.labels,
            annotations=own.annotations,
        )
        self.made.append(own.name)

    def _make_load_namespace(self, claim: str) -> None:
        """Create the namespace of the pods that generate the load, with the claim from its journal entry."""
        api, name = self._run.cluster.api, self.load_namespace
        namespaces.make_namespace(api, name, self._run.id, self._experiment.label, claim, labels=POD_SECURITY)
        self.made.append(name)
        self._pods_in = name

    def apply(self) -> None:
        """Apply the workload after a server-side dry run of all of its objects. Raises Inconclusive."""
        api, stages = self._run.cluster.api, Stages.of(self.objects)
        deploy.try_workload(api, self.namespace, self.objects)
        if stages.definitions:
            deploy.apply_workload(api, self.namespace, stages.definitions)
            deploy.wait_defined(api, stages.definitions, self._run.clock, self._run.go_on)
        deploy.apply_workload(api, self.namespace, stages.usual)

    def apply_late(self) -> None:
        """Apply the objects that need the workload to be ready, such as webhooks. Raises Inconclusive."""
        if late := Stages.of(self.objects).late:
            deploy.apply_workload(self._run.cluster.api, self.namespace, late, self._run.clock)

    def wait_ready(self) -> None:
        """Wait until the workload is ready. Raises Inconclusive."""
        objects = self.objects
        allowed = ready_time(self._experiment, objects)
        api, clock, go_on = self._run.cluster.api, self._run.clock, self._run.go_on
        deploy.wait_for_workload(api, self.namespace, objects, clock, go_on, allowed=allowed)

    @classmethod
    def control(cls, run: Run, experiment: Experiment, *, folder: Path, beside: Timeline) -> Self:
        """Return the control arm beside the arm of a timeline, with the same time axis and phases."""
        seen = Timeline(beside.origin, beside.wall_origin, phases=beside.phases)
        return cls(run, experiment, folder=folder, timeline=seen, name="the control arm")

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Run the observers of every namespace while the context is active. Nodes are watched once."""
        with ExitStack() as stack:
            for number, namespace in enumerate(self.namespaces):
                every = standard_probes(self._experiment.workload.objects)
                probes = [probe for probe in every if self._may_watch(probe) and (probe.namespaced or not number)]
                observers = Observers(self._run.cluster, namespace, self.timeline, self._run.clock, probes)
                self._observers.append(stack.enter_context(observers))
            metrics = MetricsWatch(self._run, self.namespace, self.timeline, self.objects)
            self._metrics.append(stack.enter_context(metrics))
            yield

    def _may_watch(self, probe: WatchProbe) -> bool:
        if not probe.optional:
            return True
        return not denied(self._run.cluster.api, probe.permissions, self.namespace, self._run.granted)

    def wait_watching(self) -> None:
        """Wait until every observer has its first list. Raises Inconclusive."""
        for observers in self._observers:
            observers.wait_ready(OBSERVERS_READY, self._run.go_on)

    def start_load(self, name: str, load: Load, seconds: float, site: Site) -> AbstractContextManager[TargetLoad]:
        """Start a load; it stops when the context exits, or by itself some time after ``seconds``.

        The namespace for its pods, if it is generated in the cluster, is made as one of the ``site``.
        """
        # The load of a Python test is not part of the experiment that the arm was made for.
        from_pods = self._run.place_of(load, self._experiment.workload) == "cluster"
        if from_pods and not self._pods_in:
            site.make_namespace(self.load_namespace, self._make_load_namespace)
        self._loads[name] = started = TargetLoad(
            self._run,
            self._experiment.title,
            self.namespace,
            load,
            folder=self._folder / f"load-{name}" if name else self._folder,
            seconds=seconds,
            beside=self._experiment.file.parent,
            within=self.within,
            pods_in=self._pods_in if from_pods else "",
            # The requests to the control arm do not belong into a trace that shows what the fault did.
            traceparents={} if self._name else self._run.trace_ids(self._experiment).headers(PHASES, self._run.traced),
            name=name,
            number=len(self._loads),
        )
        return started

    def wait_loaded(self) -> None:
        """Wait until every load reaches its target. Raises Inconclusive."""
        for load in self._loads.values():
            # Prometheus finds the load through a Service, which must not be created in an existing namespace.
            load.wait_ready(LOAD_READY, scraped=not self._experiment.existing)

    def phase(self, name: str, at: float) -> None:
        """Report to the loads that a phase started at a monotonic time."""
        for load in self._loads.values():
            load.phase(name, at)

    def failures(self) -> Iterator[str]:
        """Yield why the observers or the load have failed."""
        dead = [each.alive() for each in self._observers]
        for name, load in self._loads.items():
            why = load.failure()
            dead.append(f"{name}: {why}" if name and why else why)
        yield from (f"{self._name}: {why}" if self._name else why for why in dead if why)

    def look(self, probes: Iterable[SnapshotProbe]) -> None:
        """Run snapshot probes once."""
        for probe in probes:
            place = self.place(homes_of(probe, self._experiment.workload)[0])
            probe.look(ProbeContext(self._run.cluster, place, self.timeline, self._run.clock))

    def unscraped(self, gate: ScrapeGate) -> list[str]:
        """Return the targets of this arm that Prometheus does not scrape yet."""
        missing = gate.missing(ProbeContext(self._run.cluster, self.namespace, self.timeline, self._run.clock))
        return [f"{self._name}: {one}" if self._name else one for one in missing]

    def read_requests(self) -> None:
        """Give the timeline the requests of the loads so far."""
        for number, load in enumerate(self._loads.values()):
            load.read_into(self._requests, number)
        if self._loads:
            self.timeline.requests = Requests.of(self._requests, self.timeline.origin)
        if "" not in self._loads:
            self.timeline.loads = {name: self.timeline.loads.get(name) for name in self._loads}

    def stop_load(self) -> None:
        """Stop the loads and give the timeline their requests, operations on databases, and summaries."""
        found = {name: load.stop() for name, load in self._loads.items()}
        self.read_requests()
        self.timeline.histories = {
            name: load.history(self.timeline.origin, found[name].clock_error) for name, load in self._loads.items()
        }
        if "" in found:
            self.timeline.load = found[""]
        elif found:
            self.timeline.loads, self.timeline.load = found, all_together(found)

    def stop_watching(self) -> None:
        """Stop the observers: the timeline gets no further observations."""
        for metrics in self._metrics:
            metrics.stop()
        for observers in self._observers:
            observers.stop()

"""A run of whole experiments on a fake cluster: the shop from ``fake_world``, deployed by the harness itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.fake.controllers import DeploymentController, Kubelet
from harness.cluster.protocol import Capability
from harness.common.clock import Clock, FakeClock
from harness.engine.options import Keep
from harness.engine.runner import Runner
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from harness.results.record import ExperimentRecord
from harness.results.reporting.store import RunStore

# Seconds after which a thread that says nothing is a failure of the test, however slow the machine.
PATIENCE = 60.0
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  selector:
    matchLabels: {app: shop}
  template:
    metadata:
      labels: {app: shop}
    spec:
      containers:
        - {name: shop, image: "${image:podinfo}"}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  type: NodePort
  selector: {app: shop}
  ports:
    - {name: http, port: 80, nodePort: 30080}
"""
EXPERIMENT = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: one-killed}
hypothesis: Losing one of three replicas is made good at once.
workload: workloads/shop
phases: {baseline: 1s, fault: 2s, recovery: 5s, settle: 1s}
faults:
  - podKill: {selector: app=shop, count: 1}
objectives:
  - recoveryTime: {of: deployment/shop, max: 10s}
twins:
  one-replica:
    because: nobody serves meanwhile
    patch: {deployment/shop: {spec: {replicas: 1}}}
    safety: {lastReplica: allowed}
    breaks: [recoveryTime]
"""


def write_workload(root: Path) -> Path:
    """The shop's manifests in a user's project; their folder is returned."""
    folder = root / "experiments" / "workloads" / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "deployment.yaml").write_text(DEPLOYMENT)
    (folder / "service.yaml").write_text(SERVICE)
    return folder


def write_project(root: Path, experiment: str = EXPERIMENT, name: str = "one-killed.yaml") -> Path:
    """A user's project: one workload and one experiment, whose file is returned."""
    write_workload(root)
    file = root / "experiments" / name
    file.write_text(experiment)
    return file


def controlled_cluster(
    clock: Clock, *, capabilities: Iterable[Capability] = Capability, images: Sequence[str] | None = None
) -> FakeCluster:
    """A fake cluster in which Deployments get pods."""
    cluster = FakeCluster(clock, capabilities=capabilities, images=images)
    cluster.server.store.reactors += [Kubelet(), DeploymentController()]
    return cluster


class WatchedClock(FakeClock):
    """Time moves only when somebody sleeps, but whoever waits for another thread really waits for it."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        del seconds
        return event.wait(PATIENCE)


@dataclass
class Stage:
    """A project, a fake cluster, and a run to put experiments on."""

    root: Path
    clock: WatchedClock = field(default_factory=WatchedClock)
    keep: Keep = Keep.NEVER
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = controlled_cluster(self.clock)
        self.store = RunStore(self.root / "reports" / "run1")

    def run(self) -> Run:
        return Run(
            id="run1",
            seed=1,
            cluster=self.cluster,
            prometheus=None,
            store=self.store,
            sources=Sources.for_root(self.root),
            clock=self.clock,
            keep=self.keep,
            progress=self.said.append,
        )

    def experiment(self, text: str = EXPERIMENT, twin: str = "") -> Experiment:
        loaded = load_experiment(write_project(self.root, text), Sources.for_root(self.root))
        return loaded.as_twin(twin) if twin else loaded

    def play(self, experiment: Experiment | None = None) -> ExperimentRecord:
        return Runner(self.run(), experiment or self.experiment(), "experiments/one-killed.yaml::one-killed").run()

    def stored(self) -> ExperimentRecord:
        """The one record that is on disk."""
        (file,) = (self.store.folder / "experiments").glob("*.json")
        return ExperimentRecord.model_validate_json(file.read_text())

    @property
    def namespace(self) -> str:
        """The namespace of the experiment that ``experiment`` gives."""
        return self.run().namespace_of(self.experiment())

    def namespaces(self) -> list[str]:
        """Namespaces of experiments that are there."""
        return [name for name in self.cluster.server.namespaces() if name.startswith("rh-")]

"""The data that all experiments of a session share: cluster, run id, seed, store and settings."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import NAMESPACES, NODES
from harness.cluster.protocol import Capability, Cluster
from harness.common.clock import Clock, iso
from harness.common.errors import ApiError, Inconclusive
from harness.common.naming import experiment_namespace, file_digest
from harness.engine.options import Keep
from harness.engine.steps.veto import Question, allow_all
from harness.experiment.declaration import Experiment
from harness.experiment.isolation import Isolated, isolated
from harness.experiment.load import Load
from harness.experiment.load_place import LoadFrom, Place, load_place, one_place
from harness.experiment.manifests import Workload
from harness.experiment.sources import Sources
from harness.model.clock_errors import Calibration
from harness.model.quantities import counted
from harness.model.trace_context import Traced, TraceIds
from harness.prometheus.client import Prometheus
from harness.results.record import EnvironmentRecord, NodeRecord
from harness.results.reporting.store import RunStore
from harness.safety.guard.policy import Policy

# To record the cluster of a run.
PERMISSIONS = allow(NODES, "list", place="cluster") | allow(NAMESPACES, "get", place="cluster")


@dataclass(frozen=True, slots=True)
class Run:
    """One session on one cluster.

    ``progress`` prints one line. ``halted`` returns the reason why the run must end, or None. ``prefix`` is that of the
    namespaces. ``cluster_uid`` identifies the cluster. ``granted`` caches which permissions the API server grants.
    ``wait_for_lock`` is how many seconds an experiment waits for another run to leave its existing namespace.
    ``load_from``, ``load_scale``, ``runner_image`` and ``alertmanager_url`` are the options of these names. ``veto``
    returns why what a question describes is denied, or "". ``traced`` is whether the load's requests have a
    ``traceparent``.
    """

    id: str
    seed: int
    cluster: Cluster
    prometheus: Prometheus | None
    store: RunStore
    sources: Sources
    clock: Clock
    keep: Keep = Keep.NEVER
    prefix: str = "rh"
    calibration: Calibration | None = None
    progress: Callable[[str], None] = lambda _message: None
    halted: Callable[[], str | None] = lambda: None
    cluster_uid: str = ""
    policy: Policy = field(default_factory=Policy)
    load_from: LoadFrom = "auto"
    load_scale: float = 1.0
    runner_image: str = ""
    alertmanager_url: str = ""
    granted: dict[Permission, bool] = field(default_factory=dict)
    wait_for_lock: float = 0.0
    veto: Callable[[Question], str] = allow_all
    traced: Traced = "off"

    def go_on(self) -> None:
        """Raise Inconclusive if the run must end, for example after ``harness halt``."""
        reason = self.halted()
        if reason:
            raise Inconclusive(reason)

    def policy_for(self, experiment: Experiment) -> Policy:
        """Return the guard's policy for an experiment: that for existing namespaces if it runs in one."""
        return self.policy.in_existing() if experiment.existing else self.policy

    def load_place(self, experiment: Experiment) -> Place | None:
        """Return where the experiment's loads are generated, see ``one_place``. Raises ApiError."""
        return one_place(experiment, lambda load: self.place_of(load, experiment.workload))

    def place_of(self, load: Load, workload: Workload) -> Place:
        """Return where a load on a workload is generated. Raises ApiError."""
        place = load_place(load, workload, self.load_from)
        if place == "cluster" or "machine" in {self.load_from, load.from_} or load.locustfile:
            return place
        dialable = Capability.LOAD_BALANCED_SERVICE in self.cluster.capabilities()
        return load_place(load, workload, self.load_from, dialable=dialable)

    def namespace_of(self, experiment: Experiment, *, control: bool = False, of: str = "") -> str:
        """Return the namespace of one attempt of an experiment, or of its control arm.

        ``of`` is a further namespace of the workload's manifests; empty for the main one.
        """
        return experiment.existing or self.unique_name(experiment, control=control, of=of and f"in-{of}")

    def load_namespace_of(self, experiment: Experiment, *, control: bool = False) -> str:
        """Return the namespace of the pods that generate the load, if it is generated in the cluster."""
        return self.unique_name(experiment, control=control, of="load")

    def unique_name(self, experiment: Experiment, *, control: bool = False, of: str = "") -> str:
        """Return a name that no other attempt of any experiment has: that of a namespace it creates, if it does.

        ``of`` is what distinguishes further namespaces of the experiment.
        """
        rerun = f"rerun{experiment.rerun}" if experiment.rerun else ""
        turn = f"round{experiment.round}" if experiment.round > 1 else ""
        mutant = f"mutant-{experiment.mutant}" if experiment.mutant else ""
        numbers = (turn, str(experiment.attempt or ""), rerun)
        part = "-".join(filter(None, (mutant, *numbers, "control" if control else "", of)))
        if experiment.alias:
            return experiment_namespace(experiment.alias, "", self.id, self.prefix, part)
        name = f"{experiment.name}-{file_digest(experiment.file)}"
        return experiment_namespace(name, experiment.twin, self.id, self.prefix, part)

    def isolated(self, experiment: Experiment, objects: Sequence[Object], *, control: bool = False) -> Isolated:
        """Return the objects of an experiment's workload as they are deployed to the namespaces of one arm."""
        layout = experiment.workload.layout
        if experiment.existing:
            return Isolated.unchanged(objects, experiment.existing, layout)
        places = layout.placed(lambda of: self.namespace_of(experiment, control=control, of=of))
        return isolated(objects, places[layout.main], layout, places)

    def trace_ids(self, experiment: Experiment) -> TraceIds:
        """Return the ids of the trace of one attempt of an experiment, which its record has too."""
        of = experiment
        return TraceIds.of(
            self.id,
            file=of.file.name,
            name=of.name,
            twin=of.variant,
            round=of.round,
            attempt=of.attempt,
            rerun=of.rerun,
        )

    def random(self, experiment: str) -> random.Random:
        """Return the random generator of one experiment: it depends only on the seed, not on earlier experiments."""
        return random.Random(f"{self.seed}:{experiment}")  # noqa: S311 - choosing victims needs repeatability, not secrecy


def new_run_id(clock: Clock) -> str:
    """Return a unique id for a run that sorts by time: ``20261123-071500-3fa2``."""
    stamp = iso(clock.wall())[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{random.SystemRandom().getrandbits(16):04x}"


def cluster_uid(cluster: Cluster) -> str:
    """Return an id that is unique among all clusters; empty without permission to read it. Raises ApiError."""
    try:
        return str(cluster.api.get(NAMESPACES, "kube-system")["metadata"]["uid"])
    except ApiError as error:
        if error.status in {403, 404}:
            return ""
        raise


def environment(cluster: Cluster, prometheus: Prometheus | None) -> EnvironmentRecord:
    """Return the record of the cluster; without nodes if listing them is denied. Raises ApiError."""
    nodes = [
        NodeRecord(
            name=node["metadata"]["name"],
            zone=node["metadata"].get("labels", {}).get("topology.kubernetes.io/zone", ""),
            version=node["status"]["nodeInfo"]["kubeletVersion"],
            roles=sorted(
                label.removeprefix("node-role.kubernetes.io/")
                for label in node["metadata"].get("labels", {})
                if label.startswith("node-role.kubernetes.io/")
            ),
            machine=", ".join(
                node["status"]["nodeInfo"][key] for key in ("osImage", "kernelVersion", "containerRuntimeVersion")
            ),
        )
        for node in _nodes(cluster)
    ]
    return EnvironmentRecord(
        context=cluster.context,
        server=cluster.api.server,
        provider=cluster.provider,
        ownership=cluster.ownership.value,
        kubernetes=cluster.api.version(),
        nodes=nodes,
        prometheus=prometheus.describe() if prometheus else "",
        scrape_interval=prometheus.scrape_interval() if prometheus else None,
        capabilities=sorted(capability.label for capability in cluster.capabilities()),
    )


def header(run: Run, place: EnvironmentRecord) -> str:
    """Return one line that describes the cluster of a run."""
    nodes = counted(len(place.nodes), "node") if place.nodes else "nodes unknown (permission denied)"
    scaled = f"; the rate of every load × {run.load_scale:g}" if run.load_scale != 1 else ""
    return (
        f"resilience: {place.ownership} {place.provider} cluster, context {place.context} at {place.server}, "
        f"Kubernetes {place.kubernetes}, {nodes}; run {run.id}, seed {run.seed}{scaled}"
    )


def _nodes(cluster: Cluster) -> list[Object]:
    try:
        return cluster.api.list(NODES).items
    except ApiError as error:
        if error.status == 403:
            return []
        raise

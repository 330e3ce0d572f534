"""What all experiments of one session share: the cluster, the run's id, seed and folder, and what to keep."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.accuracy import Calibration
from harness.clock import Clock, iso
from harness.cluster.api import Object
from harness.cluster.permissions import Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import NAMESPACES, NODES
from harness.errors import ApiError, Inconclusive
from harness.experiment import Experiment
from harness.guard.policy import Policy
from harness.naming import experiment_namespace
from harness.probes.prometheus import Prometheus
from harness.record import EnvironmentRecord, NodeRecord
from harness.reporting.store import RunStore
from harness.settings import Keep
from harness.sources import Sources

# For the record of where a run takes place.
PERMISSIONS = allow(NODES, "list", place="cluster") | allow(NAMESPACES, "get", place="cluster")


@dataclass(frozen=True, slots=True)
class Run:
    """One session against one cluster. ``progress`` says in one line what happens now; ``halted`` tells why everything
    is to end, if it is; ``cluster_uid`` tells this cluster from others; ``granted`` keeps what the API server has said
    about permissions."""

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
    granted: dict[Permission, bool] = field(default_factory=dict)

    def go_on(self) -> None:
        """Raises Inconclusive when somebody has ordered a halt."""
        reason = self.halted()
        if reason:
            raise Inconclusive(reason)

    def namespace_of(self, experiment: Experiment, *, control: bool = False) -> str:
        """The namespace that an attempt of an experiment has to itself in this run, or that of its control arm."""
        part = "-".join(filter(None, (str(experiment.attempt or ""), "control" if control else "")))
        return experiment_namespace(experiment.name, experiment.twin, self.id, self.prefix, part)

    def random(self, experiment: str) -> random.Random:
        """The random source of one experiment: the same for the same seed, whatever runs before it."""
        return random.Random(f"{self.seed}:{experiment}")  # noqa: S311 - choosing victims needs repeatability, not secrecy


def new_run_id(clock: Clock) -> str:
    """A name for a run that sorts by time and is unique: ``20261123-071500-3fa2``."""
    stamp = iso(clock.wall())[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{random.SystemRandom().getrandbits(16):04x}"


def cluster_uid(cluster: Cluster) -> str:
    """What tells this cluster from every other, whatever its name; empty when it may not be read. Raises ApiError."""
    try:
        return str(cluster.api.get(NAMESPACES, "kube-system")["metadata"]["uid"])
    except ApiError as error:
        if error.status in {403, 404}:
            return ""
        raise


def environment(cluster: Cluster, prometheus: Prometheus | None) -> EnvironmentRecord:
    """Where a run takes place, for its record; without nodes where they may not be seen. Raises ApiError."""
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
        kubernetes=cluster.api.version(),
        nodes=nodes,
        prometheus=prometheus.describe() if prometheus else "",
        scrape_interval=prometheus.scrape_interval() if prometheus else None,
        capabilities=sorted(capability.name.lower().replace("_", "-") for capability in cluster.capabilities()),
    )


def _nodes(cluster: Cluster) -> list[Object]:
    try:
        return cluster.api.list(NODES).items
    except ApiError as error:
        if error.status == 403:
            return []
        raise

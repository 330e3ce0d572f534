"""One pytest session against one cluster: connecting late, sharing it between xdist workers, finishing once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from harness import __version__
from harness.access import needed_by_session, useful_to_session
from harness.accuracy import Calibration
from harness.calibration import store as calibrations
from harness.calibration.calibrate import calibrate
from harness.choosing import Wish, choose, keep_kind_logs, take_down
from harness.claim import Claim
from harness.clock import Clock, SystemClock, iso
from harness.cluster.kind.cluster import KindCluster
from harness.cluster.local.progress import Progress
from harness.cluster.monitoring import install
from harness.cluster.permissions import denied
from harness.cluster.protocol import Capability, Cluster
from harness.errors import ApiError, ClusterRefused, HarnessError
from harness.guard.policy import GuardFile
from harness.halt.order import Halt
from harness.halt.order import read_file as halt_of_file
from harness.halt.watch import HaltWatch
from harness.probes.prometheus import Prometheus, PrometheusError
from harness.probes.prometheus_discovery import prometheus_for
from harness.record import EnvironmentRecord, RunRecord
from harness.reporting.publish import REPORT, write_report
from harness.reporting.store import EXPERIMENTS, RunStore
from harness.run import Run, cluster_uid, environment
from harness.settings import Keep, Settings
from harness.sources import Sources
from harness.turns import Turns
from harness.waiting import wait_until

PROMETHEUS_SECONDS = 30.0


@dataclass
class Session:
    """What one process of a pytest session knows. ``run_id`` and ``seed`` are the same in all of its processes.
    ``notice`` tells what is to be seen from a worker too, where ``progress`` is silent."""

    settings: Settings
    root: Path
    run_id: str
    seed: int
    command: str
    progress: Progress
    clock: Clock = field(default_factory=SystemClock)
    guard: GuardFile = field(default_factory=GuardFile)
    notice: Progress = lambda _message: None
    started: str = ""
    _run: Run | None = None
    disruptive: bool = False
    _halt_watch: HaltWatch | None = None
    _claim: Claim | None = None
    _environment: EnvironmentRecord | None = None

    def __post_init__(self) -> None:
        self.started = self.started or iso(self.clock.wall())

    @property
    def store(self) -> RunStore:
        """Where the run lands."""
        return RunStore(self.root / self.settings.report_dir / self.run_id)

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.store.folder / REPORT

    @property
    def sources(self) -> Sources:
        """Where experiment files find workloads and profiles."""
        return Sources.for_root(self.root)

    @property
    def connected(self) -> bool:
        return self._run is not None

    def connect(self) -> Run:
        """The run with its cluster, which one process makes when it is not there while the others wait.

        Raises ClusterError.
        """
        if self._run is None and self.settings.plan:
            self._run = self._look_ahead()
        if self._run is None:
            self._refuse(halt_of_file(self._halt_file))
            self.store.folder.mkdir(parents=True, exist_ok=True)
            # A worker may be that late that another one is at its first experiment.
            turn = self.turn("connecting", lambda: self._refuse(halt_of_file(self._halt_file)))
            with turn, FileLock(self.store.folder / ".cluster.lock"):
                chosen = choose(self._wish, self.progress)
                if chosen.made:
                    # The process that takes it down at the end need not be the one that made it.
                    self._made.write_text(chosen.cluster.provider, encoding="utf-8")
                if chosen.cluster.provider == "kind":
                    self._kind.write_text(chosen.cluster.name, encoding="utf-8")
                chosen.cluster.api.impersonate(self.settings.user)
                self._check_access(chosen.cluster)
                halted = self._watch_for_halt(chosen.cluster)
                self._claim = claim = Claim(chosen.cluster.api, self.run_id, self.clock, self.progress)
                claim.take(exclusive=self.disruptive, wait=self.settings.wait_for_lock)
                prometheus = self._monitoring(chosen.cluster)
                calibration = self._calibration(chosen.cluster)
            self._environment = environment(chosen.cluster, prometheus)
            self._environment.calibration = calibration
            self._run = Run(
                id=self.run_id,
                seed=self.seed,
                cluster=chosen.cluster,
                prometheus=prometheus,
                store=self.store,
                sources=self.sources,
                clock=self.clock,
                keep=self.settings.keep,
                prefix=self.settings.namespace,
                progress=self.progress,
                policy=self.guard.policy_for(chosen.cluster.provider),
                halted=lambda: halted() or claim.lost(),
                cluster_uid=cluster_uid(chosen.cluster),
                calibration=calibration,
            )
        return self._run

    def _look_ahead(self) -> Run:
        """A run that can change nothing: on a cluster that is there, over an API that refuses to write."""
        cluster = choose(replace(self._wish, make=False), self.progress).cluster
        cluster.api.impersonate(self.settings.user)
        cluster.api.read_only()
        prometheus = prometheus_for(cluster, self.settings.prometheus_url, self.settings.prometheus_access)
        self._environment = environment(cluster, prometheus)
        return Run(
            id=self.run_id,
            seed=self.seed,
            cluster=cluster,
            prometheus=prometheus,
            store=self.store,
            sources=self.sources,
            clock=self.clock,
            prefix=self.settings.namespace,
            progress=self.progress,
            policy=self.guard.policy_for(cluster.provider),
        )

    def _calibration(self, cluster: Cluster) -> Calibration | None:
        """What is known of this cluster's stopwatch: asked for, it is found out first."""
        known = calibrations.find(cluster)
        if known or not self.settings.calibrate:
            return known
        self.progress("calibrating the stopwatch")
        try:
            known = calibrate(cluster, self.clock, self.progress, run=self.run_id, folder=self.store.folder)
        except HarnessError as error:
            # The experiments can go on; that their times are of an unknown error stands in their report.
            self.progress(f"the stopwatch is not calibrated: {error}")
            return None
        calibrations.save(known)
        return known

    @property
    def halted(self) -> str | None:
        """Why nothing may begin any more, or None."""
        return self._run.halted() if self._run else None

    def turn(self, what: str, go_on: Callable[[], None], *, alone: bool = False) -> AbstractContextManager[None]:
        """A turn among the processes of the run: see ``Turns.taken``. What is only planned needs none."""
        if self.settings.plan:
            return nullcontext()
        return Turns(self.store.folder, self.clock, self.notice).taken(what, go_on, alone=alone)

    def _watch_for_halt(self, cluster: Cluster) -> Callable[[], str | None]:
        self._halt_watch = HaltWatch(cluster.api.clone(), self.clock, self._halt_file)
        self._halt_watch.start()
        self._refuse(self._halt_watch.reason())
        return self._halt_watch.reason

    def _check_access(self, cluster: Cluster) -> None:
        missing = denied(cluster.api, needed_by_session(), self.settings.namespace, {})
        if missing:
            raise ClusterRefused(f"may not {', '.join(missing)}: harness rbac prints the Roles that a run needs")
        unseen = denied(cluster.api, useful_to_session(self.settings.prometheus_url), self.settings.namespace, {})
        if unseen:
            self.progress(f"going without what is not allowed: {', '.join(unseen)}")

    @staticmethod
    def _refuse(halt: Halt | str | None) -> None:
        if halt:
            raise ClusterRefused(f"nothing may begin: {halt}")

    @property
    def _halt_file(self) -> Path:
        return self.root / self.settings.halt_file

    def _monitoring(self, cluster: Cluster) -> Prometheus | None:
        """The cluster's Prometheus; on a cluster that the harness made and that has none one from our manifests, and
        metrics-server likewise."""
        found = prometheus_for(cluster, self.settings.prometheus_url, self.settings.prometheus_access)
        if self.settings.user or cluster.provider == "kubeconfig":
            # Whoever acts as somebody with few rights does not mean to install anything; nor does whoever tests a
            # cluster that others live in.
            return found
        wanted = ["metrics-server"] if Capability.METRICS_SERVER not in cluster.capabilities() else []
        wanted += ["prometheus"] if found is None else []
        if wanted and isinstance(cluster, KindCluster) and not cluster.is_ours:
            self.progress(f"{cluster.context} was not made by the harness, so going without {' and '.join(wanted)}")
            return found
        if "prometheus" in install(cluster, wanted, self.clock, self.progress):
            found = prometheus_for(cluster)
            if found is not None:
                # Its pod is ready before kube-proxy has sent the port there on every node.
                wait_until("Prometheus to answer", partial(_answers, found), PROMETHEUS_SECONDS, self.clock)
        return found

    def header(self) -> str:
        """One line that says where the run takes place. Raises ClusterError."""
        cluster = self.connect().cluster
        seen = self._environment.nodes if self._environment else []
        nodes = f"{len(seen)} nodes" if seen else "nodes that may not be seen"
        return (
            f"resilience: {cluster.provider} cluster, context {cluster.context} at {cluster.api.server}, "
            f"Kubernetes {cluster.api.version()}, {nodes}; run {self.run_id}, seed {self.seed}"
        )

    def write_report(self) -> RunRecord | None:
        """Gather what all processes stored into results.json and the HTML report; None when nothing ran."""
        if not (self.store.folder / EXPERIMENTS).is_dir():
            return None
        run = RunRecord(
            run=self.run_id,
            started=self.started,
            finished=iso(self.clock.wall()),
            seed=self.seed,
            command=self.command,
            harness=__version__,
            environment=self._environment,
        )
        run = self.store.merge(run)
        self.store.write(run)
        write_report(self.store.folder, run)
        return run

    def close(self, *, last: bool = False) -> None:
        """Let go of the cluster's connections; with ``last`` of the run's claim on the cluster too. Raises ApiError."""
        claim, self._claim = self._claim, None
        if claim:
            claim.close(last=last)
        if self._halt_watch:
            self._halt_watch.stop()
            self._halt_watch = None
        if self._run:
            self._run.cluster.close()
            self._run = None

    def take_down(self, *, passed: bool) -> None:
        """Keep kind's logs after a failure; take down the cluster if this session made it and need not keep it.

        Raises ClusterBroken.
        """
        try:
            self.close(last=True)
        except ApiError as error:
            self.progress(f"the run's Lease could not be deleted, `harness sweep` will: {error}")
        if not passed and self._kind.exists():
            # Kept or not, ours or not: what a node said at the time is soon overwritten, or goes with the cluster.
            keep_kind_logs(self._kind.read_text(encoding="utf-8"), self.store.folder, self.progress)
        keep = self.settings.keep is Keep.ALWAYS or (self.settings.keep is Keep.ON_FAILURE and not passed)
        if self._made.exists() and not keep:
            take_down(self._made.read_text(encoding="utf-8"), self._wish, self.progress)
            self._made.unlink()

    @property
    def _made(self) -> Path:
        return self.store.folder / ".cluster-made"

    @property
    def _kind(self) -> Path:
        """Holds the name of the kind cluster that the session runs on; not there when it runs on another cluster."""
        return self.store.folder / ".cluster-kind"

    @property
    def _wish(self) -> Wish:
        chosen = self.settings
        return Wish(
            selection=chosen.cluster,
            kubeconfig=chosen.kubeconfig,
            allowed=chosen.allowed,
            patterns=self.guard.contexts,
            name=chosen.name,
            context=chosen.context,
            workers=chosen.nodes,
            kind_image=chosen.kind_image,
            images=chosen.images,
            state=self.store.folder,
        )


def _answers(prometheus: Prometheus) -> tuple[float | None, str]:
    try:
        return prometheus.scrape_interval(), ""
    except PrometheusError as error:
        return None, str(error)

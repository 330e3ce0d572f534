"""One pytest session on one cluster: connect late, share the cluster between xdist workers, finish once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness import __version__
from harness.cluster.command_lines import command_for
from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import denied
from harness.cluster.protocol import Cluster
from harness.common.clock import Clock, SystemClock, iso
from harness.common.errors import ApiError, ClusterRefused, HarnessError
from harness.common.progress import Progress
from harness.engine.calibration import store as calibrations
from harness.engine.calibration.calibrate import calibrate
from harness.engine.choose_cluster import ClusterRequest, choose, keep_kind_logs, removal_command, take_down
from harness.engine.options import Keep
from harness.engine.preflight.permissions import needed_by_session, useful_to_session
from harness.engine.settings import Settings
from harness.engine.steps.run import Run, cluster_uid, environment, header
from harness.engine.steps.veto import Question, allow_all
from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.project_files import ProjectFiles, refuse
from harness.experiment.sources import Sources
from harness.model.clock_errors import Calibration
from harness.prometheus.client import Prometheus
from harness.prometheus.discovery import check_named, prometheus_for
from harness.pytest_plugin.monitoring import monitoring
from harness.pytest_plugin.operators import install_operators
from harness.results.record import EnvironmentRecord, RunRecord
from harness.results.reporting.publish import REPORT, publish
from harness.results.reporting.stopwatch import not_quiet
from harness.results.reporting.store import EXPERIMENTS, RunStore
from harness.results.skip_record import SkipRecord
from harness.safety.guard.policy import Policy
from harness.safety.halt.order import read_files
from harness.safety.halt.watch import HaltWatch
from harness.safety.leases.claim import Claim
from harness.safety.leases.worker_lock import WorkerLock


@dataclass
class Session:
    """The state of one process of a pytest session.

    ``run_id`` and ``seed`` are the same in all processes of the session. ``progress`` prints nothing in a worker;
    ``notice`` prints there too. ``here`` is the folder where the session was started. ``parts`` are further fields of
    the run's record.
    """

    settings: Settings
    here: Path
    files: ProjectFiles
    run_id: str
    seed: int
    command: str
    progress: Progress
    clock: Clock = field(default_factory=SystemClock)
    notice: Progress = lambda _message: None
    veto: Callable[[Question], str] = allow_all
    started: str = ""
    parts: dict[str, Any] = field(default_factory=dict)
    _run: Run | None = None
    disruptive: bool = False
    # What the experiments of this session will deploy.
    deployed: Sequence[Object] = ()
    _halt_watch: HaltWatch | None = None
    _claim: Claim | None = None
    _sweep: str = "harness sweep"
    _environment: EnvironmentRecord | None = None
    _process: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        self.started = self.started or iso(self.clock.wall())

    @property
    def store(self) -> RunStore:
        """The store in the report folder of this run."""
        return RunStore(self.here / self.settings.report_dir / self.run_id)

    @property
    def report(self) -> Path:
        """The path of the HTML report."""
        return self.store.folder / REPORT

    def _drop_inherited_connection(self) -> None:
        """Drop a connection inherited from the parent process (``pytest --forked``), which closes it itself.

        Connections cannot be shared, and the thread that watches for a halt does not exist in a forked process.
        """
        if self._process != os.getpid():
            self._process = os.getpid()
            self._run = self._claim = self._halt_watch = None

    def run_for(self, file: Path) -> Run:
        """Return the connected run with the sources that are found from ``file`` upwards.

        Raises ClusterError, InputError."""
        return replace(self.connect(), sources=self.sources(file))

    def sources(self, file: Path) -> Sources:
        """Return where workloads and load profiles are looked up, from ``file`` upwards."""
        rendering = bool(self.settings.cluster)
        return replace(self.files.sources(file), progress=self.progress, rendering=rendering)

    def load_experiment(self, file: Path) -> Experiment:
        """Load an experiment with the load of this session, and claim its name. Raises InputError."""
        experiment = load_experiment(file, self.sources(file)).scaled(self.settings.load_scale)
        self.files.names.claim(experiment)
        return experiment

    @property
    def connected(self) -> bool:
        return self._run is not None

    def connect(self) -> Run:
        """Return the run with its cluster; one process creates a missing cluster while the others wait.

        Raises ClusterError, also if no cluster was selected."""
        if not self.settings.cluster:
            raise ClusterRefused("no cluster was selected: add --cluster")
        self._drop_inherited_connection()
        if self._run is None:
            self._run = self._dry_run() if self.settings.plan else self._connect()
        return self._run

    def _connect(self) -> Run:
        self.files.refuse_halted()
        self.store.folder.mkdir(parents=True, exist_ok=True)
        # A late worker must not connect while another one runs a disruptive experiment.
        lock = self.worker_lock("connecting", self.files.refuse_halted)
        with lock, FileLock(self.store.folder / ".cluster.lock"):
            cluster = self._acquire()
            policy = self._check(cluster)
            halted = self._watch_for_halt(cluster)
            claim = self._take_claim(cluster)
            prometheus = monitoring(cluster, self.settings, self.clock, self.progress)
            if not self.settings.user:
                # Before any experiment: what appears in the cluster during one would count as its leftover.
                install_operators(cluster, self.deployed, self.clock, self.progress)
            calibration = self._calibration(cluster)
        run = self._build(cluster, prometheus, policy, calibration)
        uid = cluster_uid(cluster)
        return replace(run, halted=lambda: halted() or claim.lost(), cluster_uid=uid, veto=self.veto)

    def _acquire(self) -> Cluster:
        """Return the cluster, created if it is missing. Raises ClusterError."""
        chosen = choose(self.target, self.progress)
        if chosen.made:
            # The process that deletes the cluster at the end may be another one than the one that created it.
            self._made.write_text(chosen.cluster.provider, encoding="utf-8")
        if chosen.cluster.provider == "kind":
            self._kind.write_text(chosen.cluster.name, encoding="utf-8")
        chosen.cluster.api.impersonate(self.settings.user)
        return chosen.cluster

    def _check(self, cluster: Cluster) -> Policy:
        """Return the guard's policy, after the checks that need no claim. Raises ClusterRefused, InputError."""
        self._check_access(cluster)
        self._check_prometheus()
        return self.files.guard().guard.policy_for(cluster, self.settings.allowed)

    def _take_claim(self, cluster: Cluster) -> Claim:
        """Claim the cluster for this run. Raises ClusterRefused, ApiError."""
        self._sweep = command_for(cluster, "sweep")
        self._claim = Claim(cluster.api, self.run_id, self.clock, self.progress, self._sweep)
        self._claim.take(exclusive=self.disruptive, wait=self.settings.wait_for_lock)
        return self._claim

    def _build(
        self, cluster: Cluster, prometheus: Prometheus | None, policy: Policy, calibration: Calibration | None = None
    ) -> Run:
        """Return the run on this cluster, and keep its environment for the report."""
        self._environment = environment(cluster, prometheus).model_copy(update={"calibration": calibration})
        return Run(
            id=self.run_id,
            seed=self.seed,
            cluster=cluster,
            prometheus=prometheus,
            store=self.store,
            sources=self.files.sources(),
            clock=self.clock,
            keep=self.settings.keep,
            prefix=self.settings.namespace,
            progress=self.progress,
            policy=policy,
            calibration=calibration,
            wait_for_lock=self.settings.wait_for_lock,
            load_from=self.settings.load_from,
            load_scale=self.settings.load_scale,
            runner_image=self.settings.runner_image,
            alertmanager_url=self.settings.alertmanager_url,
            traced=self.settings.telemetry.traced,
        )

    def _dry_run(self) -> Run:
        """Return the run of a dry run: on an existing cluster, with an API client that refuses to write."""
        cluster = choose(replace(self.target, make=False), self.progress).cluster
        cluster.api.impersonate(self.settings.user)
        cluster.api.read_only()
        self._check_prometheus()
        prometheus = prometheus_for(cluster, self.settings.prometheus_url, self.settings.prometheus_access)
        return self._build(cluster, prometheus, self.files.guard().guard.policy_for(cluster, self.settings.allowed))

    def _calibration(self, cluster: Cluster) -> Calibration | None:
        """Return the stored calibration; with ``--calibrate`` measure a missing one, once for all of its processes."""
        if (stored := calibrations.find(cluster)) or not self.settings.calibrate:
            return stored
        shared = calibrations.RunCalibration(self.store.folder)
        if not shared.measured:
            shared.keep(self._calibrate(cluster))
        return shared.found()

    def _calibrate(self, cluster: Cluster) -> Calibration | None:
        self.progress("calibrating the recovery clocks")
        try:
            measured = calibrate(cluster, self.clock, self.progress, run=self.run_id, folder=self.store.folder)
        except HarnessError as error:
            # Not fatal: the report shows that the error of the recovery times is unknown.
            self.progress(f"calibration failed, continuing without: {error}")
            return None
        if measured.disturbed:
            # A busy machine gives larger errors. Using them is safe for this run, but not for runs on a quiet machine.
            self.progress(f"the calibration is used for this run only: {not_quiet(measured)}")
        return measured

    @property
    def halted(self) -> str | None:
        """The reason why no experiment may start, or None."""
        return self._run.halted() if self._run else None

    def worker_lock(self, what: str, go_on: Callable[[], None], *, alone: bool = False) -> AbstractContextManager[None]:
        """Return the lock between the processes of the run: see ``WorkerLock.taken``. A dry run needs no lock."""
        if self.settings.plan:
            return nullcontext()
        return WorkerLock(self.store.folder, self.clock, self.notice).taken(what, go_on, alone=alone)

    def _watch_for_halt(self, cluster: Cluster) -> Callable[[], str | None]:
        # A clone, since a KubeApi is for one thread and the watch runs in another.
        self._halt_watch = HaltWatch(cluster.api.clone(), self.clock, self.files.halt_files)
        self._halt_watch.start()
        halted = self._halt_watch.reason()
        if halted and not read_files(self.files.halt_files):
            halted = f"{halted}; to allow runs again, run `{command_for(cluster, 'halt', '--clear')}`"
        refuse(halted)
        return self._halt_watch.reason

    def _check_access(self, cluster: Cluster) -> None:
        missing = denied(cluster.api, needed_by_session(), self.settings.namespace, {})
        if missing:
            raise ClusterRefused(
                f"permissions denied: {', '.join(missing)}; `harness rbac` prints the Roles that a run needs"
            )
        unseen = denied(cluster.api, useful_to_session(self.settings.prometheus_url), self.settings.namespace, {})
        if unseen:
            self.progress(f"optional permissions denied, continuing without: {', '.join(unseen)}")

    def _check_prometheus(self) -> None:
        """Raise PrometheusUnusable if the server at --prometheus-url does not answer: nothing could be judged."""
        if self.settings.prometheus_url:
            check_named(self.settings.prometheus_url, self.settings.prometheus_access, self.clock)

    @property
    def record(self) -> RunRecord:
        """The record of the run without its experiments."""
        return RunRecord(
            run=self.run_id,
            started=self.started,
            seed=self.seed,
            command=self.command,
            harness=__version__,
            environment=self._environment,
            **self.parts,
        )

    def header(self) -> str:
        """Return one line that describes the cluster of the run. Raises ClusterError."""
        run = self.connect()
        return header(run, self._environment or environment(run.cluster, run.prometheus))

    def write_report(self, skipped: Sequence[SkipRecord] = ()) -> RunRecord | None:
        """Merge the records of all processes into results.json and the HTML report; None if nothing ran.

        A game day has a report also if it did not begin: its reason."""
        if not (self.store.folder / EXPERIMENTS).is_dir() and "game_day" not in self.parts:
            return None
        run = self.record.model_copy(update={"finished": iso(self.clock.wall()), "skipped": list(skipped)})
        run = self.store.merge(run)
        publish(self.store, run)
        return run

    def close(self, *, last: bool = False) -> None:
        """Close the connections to the cluster; with ``last`` also release the run's Lease. Raises ApiError."""
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
        """Delete the cluster if this session created it, must not keep it, and no other run uses it.

        After a failure the logs of a kind cluster's nodes are kept. Raises ClusterBroken."""
        keep = self.settings.keep is Keep.ALWAYS or (self.settings.keep is Keep.ON_FAILURE and not passed)
        delete, users = self._made.exists() and not keep, list[str]()
        try:
            # Before the claim is closed, which watches the Leases of the other runs.
            users = self._claim.others_at_work() if delete and self._claim else []
            self.close(last=True)
        except ApiError as error:
            self.progress(f"could not delete the run's Lease, `{self._sweep}` deletes it: {error}")
        if not passed and self._kind.exists():
            # Also if the cluster stays: the nodes' logs are soon overwritten.
            keep_kind_logs(self._kind.read_text(encoding="utf-8"), self.store.folder, self.progress)
        provider = self._made.read_text(encoding="utf-8") if delete else ""
        if users:
            how = f"to delete it: {removal_command(provider, self.settings.name)}"
            self.progress(f"cluster not deleted, still used by {', '.join(users)}; {how}")
        elif delete:
            take_down(provider, self.target, self.progress)
            self._made.unlink()

    @property
    def _made(self) -> Path:
        return self.store.folder / ".cluster-made"

    @property
    def _kind(self) -> Path:
        """The file with the name of the kind cluster of this session; missing for any other cluster."""
        return self.store.folder / ".cluster-kind"

    @property
    def target(self) -> ClusterRequest:
        """The cluster that was requested. Raises InputError for an invalid guard file."""
        return ClusterRequest.of(self.settings, self.files.guard().guard.contexts, self.store.folder)

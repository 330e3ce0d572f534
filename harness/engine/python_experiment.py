"""Experiments written as Python tests: the test calls the steps of an experiment file itself.

::

    def test_one_pod_killed(experiment):
        '''Losing one of three replicas does not affect availability.'''
        experiment.workload("workloads/podinfo")
        experiment.load("steady", rate=50, target="service/podinfo:http")
        experiment.baseline(seconds=8)
        with experiment.inject(PodKill(selector="app=podinfo"), seconds=10):
            ...                                    # the fault is active; it is undone at the end of the block
        experiment.assert_objectives(Availability(min=0.99), RecoveryTime(of="deployment/podinfo", max=20))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.common.documents import Place, show_place
from harness.common.errors import HarnessError, InputError, Problem
from harness.engine.outcome import check
from harness.engine.preflight.admission import admit
from harness.engine.preflight.images import Images
from harness.engine.preflight.requirements import require
from harness.engine.preflight.veto import check_experiment, check_injection
from harness.engine.record_keeping import RecordKeeper
from harness.engine.steps.alert_watch import AlertWatch
from harness.engine.steps.body_watch import BodyWatch
from harness.engine.steps.first_scrapes import gate_of, wait_scraped
from harness.engine.steps.host_watch import watch_hosts
from harness.engine.steps.run import Run
from harness.experiment.declaration import Control, Experiment
from harness.experiment.load import Load
from harness.experiment.load_place import LoadFrom
from harness.experiment.manifests import Workload
from harness.experiment.phases import Length, Phases
from harness.experiment.rendering.places import Places
from harness.experiment.rendering.rendered import workload_from
from harness.experiment.workload_source import WorkloadSource
from harness.faults.base import Fault
from harness.judging.judge import judge, judge_baseline
from harness.model.phase_names import BASELINE, FAULT, SETTLE
from harness.model.timeline import Injection, Timeline
from harness.model.verdict import Verdict
from harness.objectives.alert import Alert
from harness.objectives.base import LiveObjective, Objective
from harness.probes.prometheus.query import PrometheusQueries
from harness.results.record import ExperimentRecord
from harness.results.reporting.plain import one_line
from harness.safety.guard.safety import Safety
from harness.traffic.prober.declaration import Probing

LONGEST_TEST = 1800.0
LONGEST_REASON = 2000
UNJUDGED = "the test ended before it evaluated any objective"


class PythonExperiment:
    """An experiment whose steps a test calls. The ``experiment`` fixture creates and ends it.

    Creating it raises Vetoed if the veto webhook denies it."""

    def __init__(
        self, run: Run, name: str, hypothesis: str, file: Path, node_id: str, *, disruptive: bool = False
    ) -> None:
        self._run = run
        self._experiment = Experiment(
            name=name,
            hypothesis=hypothesis,
            workload=Workload(file.parent, (), ()),
            objectives=(),
            file=file,
            phases=phases_within(run.policy.max_duration),
            disruptive=disruptive,
            rerun=run.store.next_rerun(node_id, ""),
        )
        # Before the record is stored: a denied test leaves none.
        check_experiment(run, self._experiment)
        self.keeper = RecordKeeper(run, self._experiment, node_id)
        self.live = self.keeper.live
        self._stack = ExitStack()
        self._alert_watches: list[AlertWatch] = []
        # The blocks of `inject` that are open now.
        self._blocks = 0
        # The reason if the test ends without a verdict.
        self._ended = ""

    def __enter__(self) -> Self:
        self._stack.enter_context(self.keeper.closing())
        self._stack.enter_context(self.live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if not self.keeper.record.has_verdict:
                self.keeper.give_up(self._ended or UNJUDGED)

    def ended_by(self, error: BaseException) -> None:
        """Record the exception that ended the test as the reason of the verdict, unless a step failed before it."""
        text = one_line(str(error), LONGEST_REASON)
        reason = text if isinstance(error, HarnessError) else f"{UNJUDGED}: {type(error).__name__}: {text}"
        self._ended = self._ended or reason

    @property
    def namespace(self) -> str:
        """The name of the experiment's namespace; it exists after ``workload``."""
        return self.live.namespace

    @property
    def timeline(self) -> Timeline:
        """The observations so far."""
        return self.live.timeline

    def workload(
        self, source: str | Mapping[str, Any], *, control: bool = False, ready_timeout: float | None = None
    ) -> None:
        """Deploy a workload and wait until it is ready; with ``control`` deploy it again as the control arm.

        ``source`` is written as in an experiment file: a folder of manifests, ``{"kustomize": folder}`` or
        ``{"helm": {"chart": …}}``. ``ready_timeout`` is in seconds; by default it follows from the workload. Raises
        ValidationError, InputError, CapabilityMissing, ClusterRefused, Inconclusive."""
        file = self._experiment.file
        places = Places(file.parent, self._run.sources, lambda place, message: _problem(file, place, message))
        declared = WorkloadSource.model_validate(source)
        if declared.live:
            raise InputError([Problem(f"found a {declared}, expected it only in an experiment file", file)])
        workload = workload_from(declared, self._experiment.name, places)
        self._change(workload=workload, control=Control() if control else None, ready_timeout=ready_timeout)
        require(self._run, self._experiment)
        admit(self._run, self._experiment)
        Images.of(self._run.cluster, self._experiment).bring(self.live.progress)
        self.live.deploy(workload.rendered(self._run.cluster.image))

    def safety(self, **fields: Any) -> None:  # noqa: ANN401
        """Permit what the guard refuses by default, for example ``last_replica="allowed"``: see ``Safety``.

        Raises ValidationError."""
        self._change(safety=Safety.model_validate(fields))

    def load(
        self,
        profile: str | Mapping[str, Any],
        *,
        rate: float | str,
        target: str | Mapping[str, Any],
        behaviour: str = "http",
        workers: int = 1,
        from_: LoadFrom = "auto",
        name: str = "",
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Start the load; see ``Load`` for the fields. Several loads have a ``name`` each, which objectives may use.

        Raises ValidationError, InputError, ClusterRefused, Inconclusive."""
        fields = {"profile": profile, "rate": rate, "target": target, "behaviour": behaviour, "options": options}
        fields |= {"workers": workers, "from": from_}
        self._start_load(Load.model_validate(fields), name)

    def locustfile(
        self,
        locustfile: str,
        *,
        target: str | Mapping[str, Any],
        name: str = "",
        **fields: Any,  # noqa: ANN401
    ) -> None:
        """Start the load of a locustfile, whose path is relative to the test's file; ``fields`` are those of ``Load``.

        Raises ValidationError, InputError, Inconclusive."""
        self._start_load(Load.model_validate({"locustfile": locustfile, "target": target, **fields}), name)

    def replay(
        self,
        file: str,
        *,
        target: str | Mapping[str, Any],
        name: str = "",
        **fields: Any,  # noqa: ANN401
    ) -> None:
        """Replay an access log or a HAR file, whose path is relative to the test's file; ``fields`` are those of
        ``Replay``.

        Raises ValidationError, InputError, Inconclusive."""
        self._start_load(Load.model_validate({"replay": {"file": file, **fields}, "target": target}), name)

    def _start_load(self, load: Load, name: str) -> None:
        loads = self._experiment.every_load
        if loads and ("" in loads or not name or name in loads):
            found = f"a second load{f' named {name}' if name else ''}"
            raise InputError([Problem(f"found {found}, expected a name for each of several, all different")])
        load = load.located(self._experiment.file.parent)
        if problems := load.own_problems():
            raise InputError(problems)
        load = load.scaled(self._run.load_scale)
        self._change(**({"loads": {**loads, name: load}} if name else {"load": load}))
        watch_hosts(self.live, self._run.policy.hosts, self._run.clock)
        self.live.start_loads({name: load})

    def prober(self, *probings: Probing) -> None:
        """Start probing the Service as a user would, one stream per argument: ``Probing(http={"target": …}, rate=20)``.

        Raises Inconclusive if a stream gets no successful response.
        """
        self._change(prober=probings)
        watch_hosts(self.live, self._run.policy.hosts, self._run.clock)
        self.live.start_prober(probings)

    def watch_alerts(self, *alerts: Alert) -> None:
        """Look at these alerts from now on, before the baseline; give the same ones to ``assert_objectives``.

        Raises Inconclusive if the Service of a server does not exist."""
        with self._step():
            watch = AlertWatch(self._run, self.namespace, self.timeline, alerts)
            self._alert_watches.append(self.live.enter_context(watch))
            self.live.wait_known(alerts)

    def baseline(self, seconds: float, *, scraped: Sequence[Objective] = ()) -> None:
        """Run the baseline phase, after Prometheus scrapes the targets of the PromQL objectives in ``scraped``.

        Raises Inconclusive if Prometheus does not scrape them in time."""
        with self._step():
            wait_scraped(self.live, gate_of(self._run.prometheus, scraped))
        with self._step(), self.live.phase(BASELINE, Length.of(seconds)):
            self.live.wait(seconds)

    @contextmanager
    def inject(
        self, *faults: Fault, seconds: float = 0.0, at_most: float | None = None, until: Sequence[Objective] = ()
    ) -> Iterator[list[Injection]]:
        """Inject faults, wait ``seconds``, run the body, and undo. Yields the injections with their evidence.

        With ``at_most`` it waits longer, up to so many seconds: until there is evidence of the faults, and none of the
        objectives in ``until`` waits for anything. Raises ValidationError if ``at_most`` is less than ``seconds``.
        A block inside of another one adds its faults to those in effect, and undoes them alone at its end.
        """
        effects, outermost = self.live.effects, not self._blocks
        length = Length(at_least=seconds, at_most=seconds if at_most is None else at_most)
        with self._step():
            chosen = [effects.choose(fault) for fault in faults]
            effects.admit(chosen)
            check_injection(self._run, self.live, chosen)
        self._change(faults=(*self._experiment.faults, *faults))
        with self._step(), self.live.phase(FAULT) if outermost else nullcontext():
            moment = len(self.timeline.moments())
            own = [effects.inject(fault, victims, moment=moment) for fault, victims in chosen]
            self.live.wait(length.at_least, effects.prove)
            if not length.fixed:
                longer = length.at_most - length.at_least
                self.live.wait(longer, effects.prove, lambda _left: self.live.has_all(until))
            self._blocks += 1
            try:
                with BodyWatch(self._must_end):
                    yield self.timeline.injections
            finally:
                self._blocks -= 1
                for index in own:
                    effects.prove(last=True, only=index)
            if not outermost:
                for index in reversed(own):
                    effects.undo_one(index)
        if outermost:
            effects.undo()

    def assert_objectives(
        self, *objectives: Objective, recovery: float = 60.0, settle: float = 5.0
    ) -> ExperimentRecord:
        """Wait up to ``recovery`` seconds for the recovery and ``settle`` seconds more, then evaluate the objectives.

        Raises Broken if an objective was missed, Undecided if the verdict is INCONCLUSIVE, and InputError for an
        objective with ``abortOnBreach``: its fault is already over.
        """
        for objective in objectives:
            if isinstance(objective, LiveObjective) and objective.abort_on_breach:
                message = f"found abortOnBreach in {objective.title}, expected it only in an experiment file"
                raise InputError([Problem(f"{message}: in a Python test the block of `inject` ends the fault")])
            named = getattr(objective, "load", "")
            if named and named not in self._experiment.loads:
                known = ", ".join(self._experiment.loads) or "none"
                raise InputError([Problem(f"found the load {named!r} in {objective.title}, expected one of: {known}")])
        self._change(objectives=objectives)
        prometheus = self._run.prometheus
        with self._step():
            self.live.recover(objectives, recovery, gate_of(prometheus, objectives, SETTLE))
        with self._step(), self.live.phase(SETTLE, Length.of(settle)):
            self.live.wait(settle)
        for watch in self._alert_watches:
            watch.stop()
        self.live.stop()
        if prometheus:
            self.live.look([PrometheusQueries(prometheus, objectives)])
        self.keeper.observed()
        record = self._conclude()
        check(record)
        return record

    @contextmanager
    def _step(self) -> Iterator[None]:
        """Record the error of a step: it is the reason of the verdict even if the test catches it and continues."""
        try:
            yield
        except HarnessError as error:
            self._ended = str(error)
            raise

    def _must_end(self) -> str | None:
        """Return the reason why the body of a test must end now, or None."""
        longest = self._experiment.phases.total
        if self.live.now > longest:
            return f"the test took longer than its limit of {longest:g} s"
        return self._run.halted()

    def _conclude(self) -> ExperimentRecord:
        if self.timeline.injections and not self.timeline.phase(BASELINE):
            return self.keeper.give_up(
                "no steady state was measured: call experiment.baseline(seconds) before the fault"
            )
        if self.timeline.phase(BASELINE):
            findings = judge_baseline(self._experiment, self.timeline)
            self.keeper.steady_state(findings)
            for objective, finding in findings:
                if finding.verdict is not Verdict.HELD:
                    return self.keeper.give_up(f"the steady state did not hold: {objective.title}: {finding.reason}")
        return self.keeper.conclude(judge(self._experiment, self.timeline, self.live.control))

    def _change(self, **changes: Any) -> None:  # noqa: ANN401
        self._experiment = replace(self._experiment, **changes)
        self.live.experiment = self._experiment


def _problem(file: Path, place: Place, message: str) -> Problem:
    return Problem(message, file, field=show_place(("workload", *place)))


def phases_within(longest: float | None) -> Phases:
    """Return phases whose total is ``longest`` seconds, at most LONGEST_TEST.

    A test sets its own durations, so the total only limits how long a fault may last and when the load ends by itself.
    """
    spent = Phases(recovery=0.0).total
    most = LONGEST_TEST if longest is None else min(LONGEST_TEST, longest)
    return Phases(recovery=max(0.0, most - spent))

"""One experiment from its declaration to its verdict, in the order in which it happens.

arrange → watch and load, ready or dead → steady state → inject → observe → undo → recover → settle → look back → judge.
Nothing later feeds back. The record is saved when it is declared, observed and judged, so that a crash leaves evidence.
Whatever happens, the effects are undone and the namespace goes: on failure, error, Ctrl-C and SIGTERM alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace

from harness import arrange, registry
from harness.clock import iso
from harness.diagnostics import collect
from harness.errors import ApiError, HarnessError, Inconclusive, UndoFailed
from harness.experiment import Experiment
from harness.fault import Evidence, Fault, FaultContext
from harness.interrupts import deferred
from harness.judging import Judgement, judge, judge_baseline
from harness.loadgen import ExperimentLoad
from harness.naming import experiment_namespace
from harness.observation import BASELINE, FAULT, RECOVERY, SETTLE, Injection, Interval, Phase, Timeline, Victim
from harness.observers import Observers
from harness.probe import ProbeContext
from harness.probes.prometheus_query import PrometheusQueries
from harness.probes.standard import standard_probes
from harness.record import ExperimentRecord
from harness.recording import declared, describe_findings, describe_run
from harness.run import Keep, Run
from harness.timeouts import EVIDENCE_EVERY, LOOK_EVERY, OBSERVERS_READY
from harness.undo import Journal
from harness.verdict import Verdict


class Runner:
    """Runs one experiment once."""

    def __init__(self, run: Run, experiment: Experiment, node_id: str) -> None:
        self._run = run
        self._clock = run.clock
        self._cluster = run.cluster
        self._experiment = experiment
        self._namespace = experiment_namespace(experiment.name, experiment.twin, run.id)
        self._record = declared(experiment, node_id, self._namespace, run.seed, run.clock)
        self._timeline = Timeline(run.clock.monotonic(), run.clock.wall())
        folder = run.store.folder_of(self._record)
        self._journal = Journal(run.cluster, folder / "undo.jsonl", run.id, self._namespace, run.clock)
        self._context = FaultContext(run.cluster, self._namespace, run.random(experiment.name), run.clock, self._journal)
        self._faults: list[Fault] = []
        self._load: ExperimentLoad | None = None
        self._observers: Observers | None = None

    @property
    def timeline(self) -> Timeline:
        """What was seen, while it runs and afterwards."""
        return self._timeline

    def run(self) -> ExperimentRecord:
        """Run it. Returns the record, judged; raises UndoFailed when something could not be taken back, and whatever
        interrupted it (KeyboardInterrupt)."""
        self._run.store.save(self._record)
        with ExitStack() as stack:
            try:
                self._happen(stack)
            except Inconclusive as error:
                self._conclude(Judgement(Verdict.INCONCLUSIVE, str(error), [], passed=False))
            except UndoFailed:
                raise
            except HarnessError as error:
                reason = f"the experiment could not be carried out: {error}"
                self._conclude(Judgement(Verdict.INCONCLUSIVE, reason, [], passed=False))
            except KeyboardInterrupt as interrupt:
                reason = f"interrupted by {interrupt or 'SIGINT'}; effects undone"
                self._conclude(Judgement(Verdict.INCONCLUSIVE, reason, [], passed=False))
                raise
        return self._record

    def _happen(self, stack: ExitStack) -> None:
        self._arrange(stack)
        try:
            self._steady_state()
            self._disrupt()
        finally:
            with deferred():
                self._undo()
        self._recover()
        self._look_back()
        self._conclude(judge(self._experiment, self._timeline))

    # arrange

    def _arrange(self, stack: ExitStack) -> None:
        run, experiment = self._run, self._experiment
        self._say("arranging")
        objects = experiment.workload.rendered(self._cluster.image)
        self._faults = [registry.render_fault(fault, self._cluster.image) for fault in experiment.faults]
        arrange.make_namespace(self._cluster.api, self._namespace, run.id, experiment.name)
        stack.callback(self._clean_up)
        arrange.apply_workload(self._cluster.api, self._namespace, objects)
        arrange.wait_for_workload(self._cluster.api, self._namespace, objects, self._clock)
        probes = standard_probes()
        self._observers = Observers(self._cluster, self._namespace, self._timeline, self._clock, probes)
        stack.enter_context(self._observers)
        if experiment.load:
            self._load = ExperimentLoad(run, experiment, self._namespace, run.store.folder_of(self._record))
            stack.enter_context(self._load)
            self._load.wait_ready()
        self._observers.wait_ready(OBSERVERS_READY)

    # the phases

    def _steady_state(self) -> None:
        experiment = self._experiment
        self._phase(BASELINE, experiment.phases.baseline)
        for probe in experiment.probes:
            probe.look(self._probe_context())
        self._end_phase()
        self._read_requests()
        findings = judge_baseline(experiment, self._timeline)
        self._record.baseline = describe_findings(findings)
        for objective, finding in findings:
            if finding.verdict is not Verdict.HELD:
                reason = f"the steady state does not hold, nothing was injected: {objective.title}: {finding.reason}"
                raise Inconclusive(reason)

    def _disrupt(self) -> None:
        # Victims are chosen for all faults before the first one changes what there is to choose from.
        chosen = [(fault, fault.choose(self._context)) for fault in self._faults]
        self._begin(FAULT)
        started = self._clock.monotonic()
        for fault, victims in chosen:
            self._inject(fault, victims)
        self._wait(started + self._experiment.phases.fault, self._prove)
        self._prove(last=True)
        self._end_phase()

    def _inject(self, fault: Fault, victims: tuple[Victim, ...]) -> None:
        self._say(f"{fault.kind} → {', '.join(str(victim) for victim in victims)}")
        low = self._timeline.offset(self._clock.monotonic())
        fault.inject(self._context, victims)
        high = self._timeline.offset(self._clock.monotonic())
        self._timeline.injections.append(Injection(fault.kind, victims, Interval(low, high)))

    def _prove(self, last: bool = False) -> None:
        for index, injection in enumerate(self._timeline.injections):
            if injection.proven:
                continue
            try:
                evidence = self._faults[index].evidence(self._context, injection.victims)
            except ApiError as error:
                evidence = Evidence(proven=False, text=f"could not be looked at: {error}")
            if evidence.proven or last:
                proof = replace(injection, proven=evidence.proven, evidence=evidence.text)
                self._timeline.injections[index] = proof

    def _undo(self) -> None:
        if not self._journal.entries:
            return
        self._say("undoing")
        low = self._timeline.offset(self._clock.monotonic())
        self._journal.undo_all(registry.undo_actions())
        undone = Interval(low, self._timeline.offset(self._clock.monotonic()))
        for index, injection in enumerate(self._timeline.injections):
            self._timeline.injections[index] = replace(injection, undone=undone)

    def _recover(self) -> None:
        phases = self._experiment.phases
        self._begin(RECOVERY, f"at most {phases.recovery:g} s")
        end = self._clock.monotonic() + phases.recovery
        while self._clock.monotonic() < end and self._pending():
            self._wait(min(end, self._clock.monotonic() + LOOK_EVERY))
        self._end_phase()
        self._phase(SETTLE, phases.settle)
        self._end_phase()

    def _pending(self) -> str:
        self._read_requests()
        return next(filter(None, (objective.pending(self._timeline) for objective in self._experiment.objectives)), "")

    def _look_back(self) -> None:
        self._say("looking back")
        for probe in self._experiment.probes:
            probe.look(self._probe_context())
        if self._load:
            self._load.stop()
            self._timeline.load = self._load.summary
            self._read_requests()
        if self._run.prometheus:
            queries = PrometheusQueries(self._run.prometheus, self._experiment.objectives)
            queries.look(self._probe_context())
        if self._observers:
            self._observers.stop()
        self._record.stage = "observed"
        describe_run(self._record, self._experiment, self._timeline, self._journal, self._load)
        self._run.store.save(self._record)

    # the end

    def _conclude(self, judgement: Judgement) -> None:
        record = self._record
        describe_run(record, self._experiment, self._timeline, self._journal, self._load)
        record.objectives = describe_findings(judgement.findings)
        record.verdict, record.reason, record.passed = judgement.verdict, judgement.reason, judgement.passed
        record.finished = iso(self._clock.wall())
        record.stage = "judged"
        if not record.passed:
            folder = self._run.store.folder_of(record)
            try:
                kept = collect(self._cluster.api, self._namespace, folder / "cluster")
                record.evidence_files = [str(path.relative_to(self._run.store.folder)) for path in kept]
            except (ApiError, OSError) as error:
                record.notes.append(f"the cluster's state could not be kept: {error}")
        self._run.store.save(record)
        self._say(f"{judgement.verdict}: {judgement.reason}")

    def _clean_up(self) -> None:
        keep = self._run.keep is Keep.ALWAYS or (self._run.keep is Keep.ON_FAILURE and not self._record.passed)
        if keep:
            self._record.notes.append(f"namespace {self._namespace} was kept")
            self._run.store.save(self._record)
            return
        self._say("cleaning up")
        with deferred():
            arrange.remove_namespace(self._cluster.api, self._namespace, self._clock)

    # small steps

    def _phase(self, name: str, seconds: float) -> None:
        self._begin(name, f"{seconds:g} s")
        self._wait(self._clock.monotonic() + seconds)

    def _begin(self, name: str, detail: str = "") -> None:
        self._say(f"{name} {detail}".strip())
        now = self._clock.monotonic()
        self._timeline.phases.append(Phase(name, self._timeline.offset(now), float("inf")))
        if self._load:
            self._load.phase(name, now)

    def _end_phase(self) -> None:
        phase = self._timeline.phases[-1]
        self._timeline.phases[-1] = replace(phase, end=self._timeline.offset(self._clock.monotonic()))

    def _wait(self, until: float, meanwhile: object = None) -> None:
        """Pass time until a monotonic instant, and stop at once when an observer or the load is dead."""
        looked = self._clock.monotonic()
        while (left := until - self._clock.monotonic()) > 0:
            for dead in filter(None, self._failures()):
                raise Inconclusive(dead)
            if callable(meanwhile) and self._clock.monotonic() - looked >= EVIDENCE_EVERY:
                meanwhile()
                looked = self._clock.monotonic()
            self._clock.sleep(min(LOOK_EVERY, left))

    def _failures(self) -> Iterable[str | None]:
        yield self._observers.alive() if self._observers else None
        yield self._load.failure() if self._load else None

    def _read_requests(self) -> None:
        if self._load:
            self._timeline.requests = self._load.requests(self._timeline.origin)

    def _probe_context(self) -> ProbeContext:
        return ProbeContext(self._cluster, self._namespace, self._timeline, self._clock)

    def _say(self, text: str) -> None:
        self._run.progress(f"{self._experiment.title}: {text}")

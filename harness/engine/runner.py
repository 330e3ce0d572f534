"""Run one experiment from its declaration to its verdict.

deploy → observe and load → steady state → inject → observe → undo → recover → settle → query Prometheus → judge.
No step depends on a later one. The record is saved when it is declared, observed, judged and closed, so that a crash
leaves evidence.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from harness.common.errors import Inconclusive
from harness.engine.preflight.admission import admit
from harness.engine.preflight.images import Images
from harness.engine.preflight.requirements import require
from harness.engine.preflight.veto import check_injection
from harness.engine.record_keeping import RecordKeeper
from harness.engine.steps.abort_watch import AbortWatch
from harness.engine.steps.alert_watch import AlertWatch
from harness.engine.steps.composition import Composition
from harness.engine.steps.credentials import check_secrets
from harness.engine.steps.effects import Chosen
from harness.engine.steps.first_scrapes import gate_of, wait_scraped
from harness.engine.steps.host_watch import watch_hosts
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.live.copying import with_content
from harness.experiment.timing import Condition, Timing, pods_down
from harness.judging.early_stop import EarlyStop
from harness.judging.judge import judge, judge_baseline
from harness.model.phase_names import BASELINE, FAULT, SETTLE
from harness.model.verdict import Verdict
from harness.probes.prometheus.query import PrometheusQueries
from harness.results.record import ExperimentRecord


class Runner:
    """Runs one experiment once."""

    def __init__(self, run: Run, experiment: Experiment, node_id: str) -> None:
        self._run = run
        self._experiment = experiment
        self._keeper = RecordKeeper(run, experiment, node_id)
        self._live = self._keeper.live
        profiles = {name: run.sources.load.profile(load.profile) for name, load in experiment.every_load.items()}
        self._stop = EarlyStop(experiment, self._live.timeline, profiles)
        # Apart from the choice of victims, which must be the same with and without delays.
        self._rng = run.random(f"{experiment.draw} times")
        self._queries = PrometheusQueries(run.prometheus, experiment.objectives) if run.prometheus else None

    @property
    def record(self) -> ExperimentRecord:
        """The record so far."""
        return self._keeper.record

    def run(self) -> ExperimentRecord:
        """Run the experiment and return the closed record.

        Inconclusive becomes the verdict. Any other error, such as CapabilityMissing, UndoFailed or KeyboardInterrupt,
        is raised again after all effects are undone as far as possible."""
        with self._keeper.closing(), self._live, self._keeper.recording_errors():
            admit(self._run, self._experiment)
            require(self._run, self._experiment)
            check_secrets(self._experiment, os.environ)
            self._run_steps()
        return self._keeper.record

    def _run_steps(self) -> None:
        live, experiment = self._live, self._experiment
        Images.of(self._run.cluster, experiment).bring(live.progress)
        objects = experiment.workload.rendered(self._run.cluster.image)
        # The content of copied Secrets is read only now, and kept nowhere but in the objects that are applied.
        live.deploy(with_content(self._run.cluster.api, objects))
        alerts = live.enter_context(AlertWatch(self._run, live.namespace, live.timeline, experiment.objectives))
        live.wait_known(experiment.objectives)
        watch_hosts(live, self._run.policy.hosts, self._run.clock)
        live.start_loads(experiment.every_load)
        live.start_prober(experiment.prober)
        self._watch_for_abort()
        wait_scraped(live, gate_of(self._run.prometheus, experiment.objectives, conditions=experiment.abort))
        self._steady_state()
        self._fault_phase()
        live.effects.undo()
        settled = gate_of(self._run.prometheus, experiment.objectives, SETTLE)
        live.recover(experiment.objectives, experiment.phases.recovery, settled, self._decided)
        with live.phase(SETTLE, experiment.phases.length(SETTLE)):
            live.wait(experiment.phases.settle, unless=lambda _left: self._decided())
        live.progress("querying probes and Prometheus")
        alerts.stop()
        live.stop()
        live.look(experiment.probes)
        self._query_prometheus()
        self._keeper.observed()
        self._keeper.conclude(judge(experiment, live.timeline, live.control))

    def _steady_state(self) -> None:
        live, phases = self._live, self._experiment.phases
        with live.phase(BASELINE, phases.length(BASELINE)):
            live.wait(phases.baseline)
            live.look(self._experiment.probes)
        self._query_prometheus()
        findings = judge_baseline(self._experiment, live.timeline)
        self._keeper.steady_state(findings)
        for objective, finding in findings:
            if finding.verdict is not Verdict.HELD:
                reason = f"{objective.title}: {finding.reason}"
                raise Inconclusive(f"the steady state did not hold, nothing was injected: {reason}")

    def _fault_phase(self) -> None:
        live, length = self._live, self._experiment.phases.fault
        timings = [self._experiment.timing(number) for number in range(len(self._experiment.faults))]
        # Choose all victims before the first fault is injected: it may change the set of candidates.
        first = self._chosen([number for number, timing in enumerate(timings) if timing.immediate])
        self._check_abort_conditions()
        with live.phase(FAULT, length) as phase:
            until = phase.start + length.at_most
            schedule = Composition(timings, phase.start, until, self._rng, live.effects.proven)
            self._inject(schedule, first)
            schedule.until = live.now + length.at_most
            self._play(schedule)
            live.effects.prove(last=True)

    def _chosen(self, numbers: Sequence[int]) -> dict[int, Chosen]:
        """Return the faults of these indexes with their victims, after the guard and a veto webhook allowed them."""
        effects = self._live.effects
        chosen = {number: effects.choose(self._experiment.faults[number]) for number in numbers}
        effects.admit(chosen.values())
        check_injection(self._run, self._live, [*chosen.values()])
        return chosen

    def _inject(self, schedule: Composition, chosen: Mapping[int, Chosen]) -> None:
        live = self._live
        moment = len(live.timeline.moments())
        for number, (fault, victims) in chosen.items():
            index = live.effects.inject(fault, victims, number=number, moment=moment)
            schedule.inject(number, index, live.now)

    def _play(self, schedule: Composition) -> None:
        """Inject and undo each fault at its time, until the phase is over or stopped early."""
        live = self._live

        def met(condition: Condition) -> bool:
            if condition.error_rate is not None:
                live.read_requests()
            return condition.met(live.timeline, live.now)

        def held(timing: Timing) -> bool:
            return timing.down_below is not None and pods_down(live.timeline) >= timing.down_below

        def interrupted(_left: float) -> bool:
            must_stop = self._stop.enabled and self._must_stop(schedule.until - live.now)
            return must_stop or schedule.waits(met) or bool(schedule.due(live.now, held)) or self._may_end(schedule)

        # Checked first: after an abort nothing more may be injected, even if it is due.
        while not live.timeline.stopped:
            schedule.look(live.now, met)
            if ended := schedule.ended(live.now):
                for injection in ended:
                    live.effects.undo_one(injection)
                    schedule.undo(injection, live.now)
            elif due := schedule.due(live.now, held):
                self._inject(schedule, self._chosen(due))
            elif live.now >= schedule.until or self._may_end(schedule):
                return
            else:
                live.wait(min(schedule.next(live.now), schedule.until) - live.now, live.effects.prove, interrupted)

    def _may_end(self, schedule: Composition) -> bool:
        """Return whether the phase may end before its longest time: see ``LiveExperiment.has_all``."""
        length = self._experiment.phases.fault
        due = self._live.now >= schedule.until - (length.at_most - length.at_least)
        return not length.fixed and due and schedule.over and self._live.has_all(self._experiment.objectives)

    def _must_stop(self, left: float) -> bool:
        live = self._live
        live.read_requests()
        live.timeline.stopped = self._stop.look(live.now, left)
        if live.timeline.stopped:
            live.progress(f"stopped early: {live.timeline.stopped.reason}")
        return live.timeline.stopped is not None

    def _decided(self) -> bool:
        """Return whether this is a twin or a mutant that has broken what it must, and may end."""
        timeline = self._live.timeline
        timeline.stopped = timeline.stopped or self._stop.decided(self._live.now)
        return timeline.stopped is not None and timeline.stopped.by == "variant"

    def _watch_for_abort(self) -> None:
        live, run, conditions = self._live, self._run, self._experiment.abort
        if conditions and run.prometheus:
            live.enter_context(AbortWatch(conditions, run.prometheus, live.namespace, live.timeline, run.clock))

    def _check_abort_conditions(self) -> None:
        aborted = self._stop.aborted(self._live.now)
        if aborted:
            raise Inconclusive(f"nothing was injected because an abort condition is already met: {aborted}")

    def _query_prometheus(self) -> None:
        if self._queries:
            self._live.look([self._queries])

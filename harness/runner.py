"""One experiment from its declaration to its verdict, in the order in which it happens.

deploy → watch and load, ready or dead → steady state → inject → observe → undo → recover → settle → look back → judge.
Nothing later feeds back. The record is saved when it is declared, observed, judged and closed: a crash leaves evidence.
"""

from __future__ import annotations

import os

from harness.abort_watch import AbortWatch
from harness.admission import admit
from harness.early_stop import EarlyStop
from harness.errors import Inconclusive
from harness.experiment import Experiment
from harness.judging import judge, judge_baseline
from harness.load.secrets import check_secrets
from harness.observation import BASELINE, FAULT, SETTLE
from harness.probes.prometheus_query import PrometheusQueries
from harness.record import ExperimentRecord
from harness.record_keeping import RecordKeeper
from harness.requirements import require
from harness.run import Run
from harness.verdict import Verdict


class Runner:
    """Runs one experiment once."""

    def __init__(self, run: Run, experiment: Experiment, node_id: str) -> None:
        self._run = run
        self._experiment = experiment
        self._keeper = RecordKeeper(run, experiment, node_id)
        self._live = self._keeper.live
        load = experiment.load
        profile = run.sources.load.profile(load.profile) if load else None
        self._stop = EarlyStop(experiment, self._live.timeline, profile)
        self._queries = PrometheusQueries(run.prometheus, experiment.objectives) if run.prometheus else None

    @property
    def record(self) -> ExperimentRecord:
        """The record, as far as it is written."""
        return self._keeper.record

    def run(self) -> ExperimentRecord:
        """Run it. Returns the closed record. Whatever ended it early, other than Inconclusive, goes on after everything
        is taken back as far as it can be: CapabilityMissing, UndoFailed and KeyboardInterrupt are no mere verdicts."""
        with self._keeper.to_the_end(), self._live, self._keeper.told():
            admit(self._run, self._experiment)
            require(self._run, self._experiment)
            if self._experiment.load:
                check_secrets(self._experiment.load.options, os.environ)
            self._happen()
        return self._keeper.record

    def _happen(self) -> None:
        live, experiment = self._live, self._experiment
        live.deploy(experiment.workload.rendered(self._run.cluster.image))
        if experiment.load:
            live.start_load(experiment.load)
        live.start_prober(experiment.prober)
        self._watch_for_abort()
        self._steady_state()
        self._disrupt()
        live.undo()
        live.recover(experiment.objectives, experiment.phases.recovery)
        with live.phase(SETTLE, f"{experiment.phases.settle:g} s"):
            live.wait(experiment.phases.settle)
        live.say("looking back")
        live.stop()
        live.look(experiment.probes)
        self._ask_prometheus()
        self._keeper.observed()
        self._keeper.conclude(judge(experiment, live.timeline, live.control))

    def _steady_state(self) -> None:
        live, phases = self._live, self._experiment.phases
        with live.phase(BASELINE, f"{phases.baseline:g} s"):
            live.wait(phases.baseline)
            live.look(self._experiment.probes)
        self._ask_prometheus()
        findings = judge_baseline(self._experiment, live.timeline)
        self._keeper.steady_state(findings)
        for objective, finding in findings:
            if finding.verdict is not Verdict.HELD:
                reason = f"{objective.title}: {finding.reason}"
                raise Inconclusive(f"the steady state does not hold, nothing was injected: {reason}")

    def _disrupt(self) -> None:
        live, seconds = self._live, self._experiment.phases.fault
        # All victims are chosen before the first fault changes what there is to choose from.
        chosen = [live.choose(fault) for fault in self._experiment.faults]
        live.admit(chosen)
        self._nothing_to_abort()
        with live.phase(FAULT, f"{seconds:g} s"):
            for fault, victims in chosen:
                live.inject(fault, victims)
            live.wait(seconds, live.prove, self._must_stop if self._stop.asks else None)
            live.prove(last=True)

    def _must_stop(self, left: float) -> bool:
        live = self._live
        live.read_requests()
        live.timeline.stopped = self._stop.look(live.now, left)
        if live.timeline.stopped:
            live.say(f"stopped early: {live.timeline.stopped.reason}")
        return live.timeline.stopped is not None

    def _watch_for_abort(self) -> None:
        live, run, conditions = self._live, self._run, self._experiment.abort
        if conditions and run.prometheus:
            live.beside(AbortWatch(conditions, run.prometheus, live.namespace, live.timeline, run.clock))

    def _nothing_to_abort(self) -> None:
        aborted = self._stop.aborted(self._live.now)
        if aborted:
            raise Inconclusive(f"nothing was injected, since an abort condition was met before: {aborted}")

    def _ask_prometheus(self) -> None:
        if self._queries:
            self._live.look([self._queries])

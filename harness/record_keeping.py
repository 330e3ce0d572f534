"""Keeps the record of a live experiment: stored when declared, observed and judged, with evidence on failure."""

from __future__ import annotations

from harness.clock import iso
from harness.diagnostics import collect
from harness.errors import ApiError
from harness.experiment import Experiment
from harness.judging import Judged, Judgement
from harness.live import LiveExperiment
from harness.record import ExperimentRecord
from harness.recording import declared, describe_findings, describe_run
from harness.run import Run
from harness.settings import Keep
from harness.verdict import Verdict


class RecordKeeper:
    """The record of one experiment, and the live experiment that it tells of."""

    def __init__(self, run: Run, experiment: Experiment, node_id: str) -> None:
        self._run = run
        self.record: ExperimentRecord = declared(experiment, node_id, run)
        self.live = LiveExperiment(run, experiment, run.store.folder_of(self.record))
        self.live.keep = self._keep
        run.store.save(self.record)

    def steady_state(self, findings: Judged) -> None:
        """What the baseline showed."""
        self.record.baseline = describe_findings(findings)

    def observed(self) -> None:
        """Everything has been seen; nothing is judged yet."""
        self.record.stage = "observed"
        self._store()

    def conclude(self, judgement: Judgement) -> ExperimentRecord:
        """The verdict; what the cluster looks like is kept beside it when the experiment did not pass."""
        if not judgement.passed:
            self._keep_evidence()
        self._judged(judgement)
        self.live.say(f"{judgement.verdict}: {judgement.reason}")
        return self.record

    def give_up(self, reason: str, *, evidence: bool = True) -> ExperimentRecord:
        """INCONCLUSIVE for a reason that ended the experiment early."""
        judgement = Judgement(Verdict.INCONCLUSIVE, reason, [], passed=False)
        if evidence:
            return self.conclude(judgement)
        self._judged(judgement)
        return self.record

    def _judged(self, judgement: Judgement) -> None:
        record = self.record
        record.objectives = describe_findings(judgement.findings)
        record.verdict, record.reason, record.passed = judgement.verdict, judgement.reason, judgement.passed
        record.finished = iso(self._run.clock.wall())
        record.stage = "judged"
        self._store()

    def _store(self) -> None:
        self.live.read_requests()
        describe_run(self.record, self.live.experiment, self.live.timeline, self.live.journal.entries)
        self._run.store.save(self.record)

    def _keep_evidence(self) -> None:
        try:
            kept = collect(self._run.cluster.api, self.live.namespace, self.live.folder / "cluster")
            self.record.evidence_files = [str(path.relative_to(self._run.store.folder)) for path in kept]
        except (ApiError, OSError) as error:
            self.record.notes.append(f"the cluster's state could not be kept: {error}")

    def _keep(self) -> bool:
        kept = self._run.keep is Keep.ALWAYS or (self._run.keep is Keep.ON_FAILURE and not self.record.passed)
        if kept:
            self.record.notes.append(f"namespace {self.live.namespace} was kept")
            self._run.store.save(self.record)
        return kept

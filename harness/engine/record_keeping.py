"""Keep the record of a live experiment: store it at every stage, and collect diagnostics if it does not pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.common.clock import iso
from harness.common.errors import (
    ApiError,
    CapabilityMissing,
    HarnessError,
    Inconclusive,
    LeftBehind,
    UndoFailed,
    Vetoed,
)
from harness.engine.options import Keep
from harness.engine.recording import declared, describe_advice, describe_control, describe_findings, describe_run
from harness.engine.steps.diagnostics import collect
from harness.engine.steps.live import LiveExperiment
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.judging.judge import Judged, Judgement
from harness.model.verdict import Verdict, worst
from harness.results.record import ExperimentRecord


class RecordKeeper:
    """The record of one experiment and its live experiment.

    Use as ``with keeper.closing(), keeper.live, keeper.recording_errors(): …``. ``recording_errors`` is innermost, so
    that diagnostics are collected before the namespace is deleted; ``closing`` is outermost, so that it also records
    errors of undo and cleanup.
    """

    def __init__(self, run: Run, experiment: Experiment, node_id: str) -> None:
        self._run = run
        self.record: ExperimentRecord = declared(experiment, node_id, run)
        self.live = LiveExperiment(run, experiment, run.store.folder_of(self.record))
        self.live.site.keep = self._keep
        # The error whose reason is recorded, and the Inconclusive whose reason is not stored yet.
        self._recorded: BaseException | None = None
        self._unstored: Inconclusive | None = None
        run.store.save(self.record)

    @contextmanager
    def recording_errors(self) -> Iterator[None]:
        """Record the error that ends the body as the reason of the verdict. Inconclusive is not raised again."""
        try:
            yield
        except Inconclusive as error:
            # Storing it also collects diagnostics, which a signal may interrupt.
            self._unstored = error
            self.give_up(str(error))
            self._unstored = None
        except BaseException as error:
            self._recorded = error
            self.record.interrupted = isinstance(error, KeyboardInterrupt)
            # After Ctrl-C the user waits for the run to end; the others say nothing about the workload.
            self.give_up(_why(error), evidence=not isinstance(error, KeyboardInterrupt | CapabilityMissing | Vetoed))
            raise

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Close the record at the end of the body; a run that could not undo or clean up does not pass.

        Only this method closes a record: if the process dies earlier, the stored verdict does not count."""
        try:
            yield
        except BaseException as error:
            failure = self.live.undo_failed or self._last_unrecorded(error)
            if failure:
                self._fail(_why(failure))
            if isinstance(error, KeyboardInterrupt) or self.live.clean_up.interrupted:
                raise KeyboardInterrupt(str(error)) from error
            if failure and failure is not error:
                raise failure from error
            raise
        finally:
            self.record.stage = "closed"
            self._store()

    def steady_state(self, findings: Judged) -> None:
        """Record the findings of the baseline."""
        self.record.baseline = describe_findings(findings)

    def observed(self) -> None:
        """Store the record with all observations, before the objectives are evaluated."""
        self.record.stage = "observed"
        self._store()

    def conclude(self, judgement: Judgement) -> ExperimentRecord:
        """Record the verdict; collect diagnostics from the cluster if the experiment did not pass.

        The verdict is INCONCLUSIVE if a namespace of the experiment was deleted during the run: then the fault was not
        the only disturbance.
        """
        lost = self.live.lost() if judgement.verdict is not Verdict.INCONCLUSIVE else None
        if lost:
            reason = f"{lost}; otherwise the verdict would be {judgement.verdict}: {judgement.reason}"
            judgement = Judgement(Verdict.INCONCLUSIVE, reason, judgement.findings, passed=False)
        if not judgement.passed:
            self._keep_evidence()
        self._judged(judgement)
        self.live.progress(f"{judgement.verdict}: {judgement.reason}")
        return self.record

    def give_up(self, reason: str, *, evidence: bool = True) -> ExperimentRecord:
        """Record INCONCLUSIVE with the reason for the early end; with ``evidence`` also collect diagnostics."""
        judgement = Judgement(Verdict.INCONCLUSIVE, reason, [], passed=False)
        if evidence:
            return self.conclude(judgement)
        self._judged(judgement)
        return self.record

    def _judged(self, judgement: Judgement) -> None:
        record = self.record
        record.objectives = describe_findings(judgement.findings)
        record.verdict, record.reason, record.passed = judgement.verdict, judgement.reason, judgement.passed
        try:
            record.advice = describe_advice(self.live.experiment, self.live.timeline, judgement.findings)
        except Exception as error:  # noqa: BLE001 - a bug in a rule of advice must not change the verdict
            record.notes.append(f"no advice: {type(error).__name__}: {error}")
        record.finished = iso(self._run.clock.wall())
        record.stage = "judged"
        self._store()

    def _last_unrecorded(self, raised: BaseException) -> BaseException | None:
        """Return the last error whose reason is not in the record, or None. An interruption is no reason."""
        errors = (raised, *reversed(self.live.clean_up.errors), self._unstored)
        unrecorded = (each for each in errors if each is not self._recorded)
        return next((each for each in unrecorded if not isinstance(each, KeyboardInterrupt)), None)

    def _fail(self, reason: str) -> None:
        record = self.record
        record.reason = f"{reason}; the verdict before this error was {record.verdict}: {record.reason}"
        record.verdict, record.passed = worst([record.verdict, Verdict.INCONCLUSIVE]), False
        self.live.progress(f"{record.verdict}: {reason}")

    def _store(self) -> None:
        try:
            self.live.read_requests()
            notes = [*self.live.notes, *self.live.site.notes]
            self.record.notes += [note for note in notes if note not in self.record.notes]
            describe_run(self.record, self.live.experiment, self.live.timeline, self.live.site.journal.entries)
            if self.live.control:
                namespace = self._run.namespace_of(self.live.experiment, control=True)
                self.record.control = describe_control(self.live.experiment, namespace, self.live.control)
        finally:
            # Save even after an error above: the verdict and its reason must not be lost.
            self._run.store.save(self.record)

    def _keep_evidence(self) -> None:
        try:
            kept: list[Path] = []
            for namespace, folder in self.live.diagnosed():
                kept += collect(self._run.cluster.api, namespace, self.live.folder / folder)
            self.record.evidence_files = [str(path.relative_to(self._run.store.folder)) for path in kept]
        except (ApiError, OSError) as error:
            self.record.notes.append(f"could not collect diagnostics from the cluster: {error}")

    def _keep(self) -> bool:
        kept = self._run.keep is Keep.ALWAYS or (self._run.keep is Keep.ON_FAILURE and not self.record.passed)
        if kept:
            self.record.notes += [f"namespace {name} was kept" for name in self.live.namespaces]
            self._run.store.save(self.record)
        return kept


def _why(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted by {str(error) or 'SIGINT'}"
    if isinstance(error, CapabilityMissing):
        return f"not supported by this cluster: {error}"
    if isinstance(error, LeftBehind | Vetoed):
        return str(error)
    if isinstance(error, UndoFailed):
        return f"UNDO FAILED: {error}"
    kind = "" if isinstance(error, HarnessError) else f"{type(error).__name__}: "
    return f"the experiment could not run: {kind}{error}"

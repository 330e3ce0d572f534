"""The record of a live experiment: stored when declared, observed, judged and closed, with evidence on failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.clock import iso
from harness.diagnostics import collect
from harness.errors import ApiError, CapabilityMissing, HarnessError, Inconclusive, LeftBehind, UndoFailed
from harness.experiment import Experiment
from harness.judging import Judged, Judgement
from harness.live import LiveExperiment
from harness.record import ExperimentRecord
from harness.recording import declared, describe_control, describe_findings, describe_run
from harness.run import Run
from harness.settings import Keep
from harness.verdict import Verdict, worst


class RecordKeeper:
    """The record of one experiment, and the live experiment that it tells of.

    ``with keeper.to_the_end(), keeper.live, keeper.told(): …`` is the whole: what ends the body early is told while the
    cluster still shows why; what goes wrong while everything is taken back is told after.
    """

    def __init__(self, run: Run, experiment: Experiment, node_id: str) -> None:
        self._run = run
        self.record: ExperimentRecord = declared(experiment, node_id, run)
        self.live = LiveExperiment(run, experiment, run.store.folder_of(self.record))
        self.live.site.keep = self._keep
        self._told: BaseException | None = None
        run.store.save(self.record)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Whatever ends the body early is the record's reason. Inconclusive ends here: it is a verdict and no more."""
        try:
            yield
        except Inconclusive as error:
            self.give_up(str(error))
        except BaseException as error:
            self._told = error
            # Somebody waits for an interrupted run to end, and what was never begun has left nothing to look at.
            self.give_up(_why(error), evidence=not isinstance(error, KeyboardInterrupt | CapabilityMissing))
            raise

    @contextmanager
    def to_the_end(self) -> Iterator[None]:
        """Store what became of the undos, and let no run pass whose effects or namespace could not be taken away. The
        record is closed here and nowhere else: what ends the process before leaves it without a verdict that counts."""
        try:
            yield
        except BaseException as error:
            # Errors of taking back hide in each other's context, and behind the signal that came meanwhile.
            chain = _chain(error)
            worst_of_all = self.live.undo_failed or self._hidden_in(chain) or error
            if worst_of_all is not self._told and not isinstance(worst_of_all, KeyboardInterrupt):
                self._spoil(_why(worst_of_all))
            if any(isinstance(each, KeyboardInterrupt) for each in chain):
                raise KeyboardInterrupt(str(error)) from error
            if worst_of_all is not error:
                raise worst_of_all from error
            raise
        finally:
            self.record.stage = "closed"
            self._store()

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

    def _hidden_in(self, chain: list[BaseException]) -> BaseException | None:
        """What went wrong while everything was taken back, when a signal came meanwhile and is raised in its place."""
        if not isinstance(chain[0], KeyboardInterrupt):
            return None
        known = _chain(self._told) if self._told else []
        errors = (each for each in chain if not isinstance(each, KeyboardInterrupt))
        return next((each for each in errors if not any(each is other for other in known)), None)

    def _spoil(self, reason: str) -> None:
        record = self.record
        record.reason = f"{reason}; before that: {record.verdict}: {record.reason}"
        record.verdict, record.passed = worst([record.verdict, Verdict.INCONCLUSIVE]), False
        self.live.say(f"{record.verdict}: {reason}")

    def _store(self) -> None:
        try:
            self.live.read_requests()
            self.record.notes += [note for note in self.live.site.notes if note not in self.record.notes]
            describe_run(self.record, self.live.experiment, self.live.timeline, self.live.site.journal.entries)
            if self.live.control:
                namespace = self._run.namespace_of(self.live.experiment, control=True)
                self.record.control = describe_control(self.live.experiment, namespace, self.live.control)
        finally:
            # What could not be described must not cost the verdict and its reason.
            self._run.store.save(self.record)

    def _keep_evidence(self) -> None:
        try:
            kept: list[Path] = []
            for namespace, folder in zip(self.live.namespaces, ("cluster", "control/cluster"), strict=False):
                kept += collect(self._run.cluster.api, namespace, self.live.folder / folder)
            self.record.evidence_files = [str(path.relative_to(self._run.store.folder)) for path in kept]
        except (ApiError, OSError) as error:
            self.record.notes.append(f"the cluster's state could not be kept: {error}")

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
        return f"this cluster cannot do it: {error}"
    if isinstance(error, LeftBehind):
        return str(error)
    if isinstance(error, UndoFailed):
        return f"UNDO FAILED: {error}"
    kind = "" if isinstance(error, HarnessError) else f"{type(error).__name__}: "
    return f"the experiment could not be carried out: {kind}{error}"


def _chain(error: BaseException) -> list[BaseException]:
    """An error and all that stand behind it. Both ways: what a cleaning-up raised for a cause of its own has the error
    that came before it in its context."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop(0)
        if each is not None and not any(each is other for other in found):
            found.append(each)
            waiting += [each.__cause__, each.__context__]
    return found

"""The pytest collector of an experiment file, and the item for an experiment or a twin."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.common.errors import CapabilityMissing, ClusterRefused, HarnessError, InputError, UndoFailed, Vetoed
from harness.common.excerpts import with_excerpts
from harness.engine.outcome import Broken, check, had_faults, leftovers
from harness.engine.plan.plan import plan
from harness.engine.plan.text import render
from harness.engine.preflight.admission import admit
from harness.engine.preflight.live_workload import read_workload
from harness.engine.preflight.requirements import require
from harness.engine.preflight.veto import check_experiment
from harness.engine.runner import Runner
from harness.engine.series import Series
from harness.engine.settings import Settings
from harness.engine.steps.run import Run
from harness.experiment.declaration import Experiment
from harness.experiment.manifests import Workload
from harness.experiment.mutation.mutant import LeftOut, as_mutant, changed_objects, refusal, twin_like, weakened
from harness.experiment.mutation.operator import Operator
from harness.pytest_plugin.session import Session
from harness.pytest_plugin.tally import COVERED_KEY, REFUSALS_KEY
from harness.results.record import ExperimentRecord
from harness.results.reporting.mutation import outcome_of
from harness.results.reporting.plain import harmless

SESSION_KEY = pytest.StashKey[Session]()
# The name of the property of an item with the outcome of its mutant.
OUTCOME = "mutant.outcome"
RECORD_KEY = pytest.StashKey[ExperimentRecord]()
# Why a game day or mutation testing leaves out an item; empty: it runs.
LEFT_OUT_KEY = pytest.StashKey[str]()


def is_disruptive(item: pytest.Item) -> bool:
    """Return whether a test is marked disruptive: it affects more than its own namespace."""
    return item.get_closest_marker("disruptive") is not None


def opt_in_missing(item: pytest.Item, settings: Settings) -> str:
    """Return why a disruptive test may not run in this session, or ""."""
    allowed = settings.allow_disruptive or not is_disruptive(item)
    return "" if allowed else "affects more than its own namespace: add --allow-disruptive"


def longest_phases(item: pytest.Item) -> float:
    """Return how many seconds the phases of an experiment take at most; 0 for a Python test, where it is unknown."""
    return item.experiment.phases.total if isinstance(item, ExperimentItem) else 0.0


def folder_of(item: pytest.Item) -> Path:
    """Return the folder of an item's experiment: below it and above it are the files that it uses."""
    return (item.experiment.file if isinstance(item, ExperimentItem) else item.path).parent


def deployed_by(items: Iterable[pytest.Item]) -> list[Object]:
    """Return the objects that the experiments among these items apply."""
    experiments = [item.experiment for item in items if isinstance(item, ExperimentItem)]
    return [each for experiment in experiments for each in experiment.deployed]


class ExperimentFile(pytest.File):
    """One experiment file."""

    def collect(self) -> Iterable[pytest.Item]:
        session = self.config.stash[SESSION_KEY]
        try:
            experiment = session.load_experiment(self.path)
        except InputError as error:
            raise self.CollectError(with_excerpts(error)) from error
        yield ExperimentItem.from_parent(self, name=experiment.name, experiment=experiment)
        if session.settings.twins:
            for name in experiment.twins or {}:
                twin = experiment.as_twin(name)
                yield ExperimentItem.from_parent(self, name=twin.title, experiment=twin)
        for operator in session.settings.mutate:
            mutant = as_mutant(experiment, operator)
            yield MutantItem.from_parent(self, name=mutant.title, experiment=mutant, operator=operator)


class ExperimentItem(pytest.Item):
    """One experiment, or one of its twins."""

    def __init__(self, *, experiment: Experiment, **rest: Any) -> None:  # noqa: ANN401
        super().__init__(**rest)
        self.experiment = experiment
        self.add_marker("resilience")
        if experiment.twin:
            self.add_marker("twin")
        if experiment.mutant:
            self.add_marker("mutant")
        if experiment.disruptive:
            self.add_marker("disruptive")

    def runtest(self) -> None:
        session = self.config.stash[SESSION_KEY]
        run = session.run_for(self.experiment.file)
        run, self.experiment = self.prepared(run)
        self.experiment = self._with_workload(run)
        if session.settings.plan:
            # notice, not progress: the plan is the result of the session, also in workers of pytest-xdist.
            planned = plan(run, self.experiment)
            if missing := opt_in_missing(self, session.settings):
                planned = replace(planned, refusals=(missing, *planned.refusals))
            session.notice(render(planned))
            self.stash[REFUSALS_KEY] = list(planned.refusals)
            pytest.skip("dry run: planned only, nothing was run")
        if not session.settings.strict:
            # Skip before a record is created: nothing has been tested on this cluster.
            require(run, self.experiment)
            try:
                admit(run, self.experiment)
            except ClusterRefused as error:
                pytest.skip(str(error))
        if self.experiment.workload.note:
            run.progress(self.experiment.workload.note)
        try:
            check_experiment(run, self.experiment)
            record = self._judged(run)
        except Vetoed as error:
            if session.settings.strict or RECORD_KEY in self.stash:
                raise
            pytest.skip(str(error))
        self._conclude(record)

    def _with_workload(self, run: Run) -> Experiment:
        """Return the experiment with the objects that it is run on."""
        return read_workload(run, self.experiment)

    def _conclude(self, record: ExperimentRecord) -> None:
        self.config.hook.pytest_resilience_experiment_judged(record=record)
        check(record)

    def _judged(self, run: Run) -> ExperimentRecord:
        """Run the experiment and return its record. One that was denied before any fault leaves no record."""
        runner = self._runner(run)
        self.stash[RECORD_KEY] = record = runner.record
        try:
            return runner.run()
        except Vetoed:
            tried = [record, *record.attempts]
            if not self.config.stash[SESSION_KEY].settings.strict and not any(map(had_faults, tried)):
                del self.stash[RECORD_KEY]
                run.store.discard(tried)
            raise

    def prepared(self, run: Run) -> tuple[Run, Experiment]:
        """Return the run and the experiment as this item uses them."""
        return run, self.experiment

    def _runner(self, run: Run) -> Runner | Series:
        repeats = self.config.stash[SESSION_KEY].settings.repeats
        # A rerun by another pytest plugin gets a separate record and namespace.
        experiment = replace(self.experiment, rerun=run.store.next_rerun(self.nodeid, self.experiment.twin))
        if repeats.at_most > 1:
            return Series(run, experiment, self.nodeid, repeats)
        return Runner(run, experiment, self.nodeid)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        if isinstance(excinfo.value, UndoFailed):
            return f"{self.stash[RECORD_KEY].reason}"
        if isinstance(excinfo.value, Broken | HarnessError):
            return harmless(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name


class MutantItem(ExperimentItem):
    """A mutant of an experiment: it passes whatever its verdict is, unless it leaves something in the cluster."""

    def __init__(self, *, experiment: Experiment, operator: Operator, **rest: Any) -> None:  # noqa: ANN401
        super().__init__(experiment=experiment, **rest)
        self._plain, self._operator = experiment, operator
        self._twins: frozenset[str] = frozenset()
        self._base = f"{self.nodeid.removesuffix(self.name)}{experiment.name}"
        # The other mutants of the session with the same weakness.
        self._alike: list[MutantItem] = []

    def choose(self, selected: Container[str]) -> None:
        """Leave this mutant out if its reason is known before the run. ``selected`` are the node IDs of the session."""
        twins = self._plain.twins or {}
        self._twins = frozenset(name for name in twins if f"{self._base}[{name}]" in selected)
        reason = "" if self._base in selected else "its experiment is not selected, and only one that holds is weakened"
        reason = reason or refusal(self._plain)
        if not reason and not self._plain.unread:
            try:
                self._weakened(self._plain)
            except LeftOut as found:
                reason = str(found)
        self.stash[LEFT_OUT_KEY] = reason

    @property
    def weakness(self) -> tuple[str, tuple[str, ...]]:
        """The operator and the objects that it changes; no objects while they are unknown."""
        return self._operator.name, self.experiment.weakened

    def compare(self, alike: Iterable[MutantItem]) -> None:
        """Remember the other mutants of the session with the same weakness."""
        self._alike = [item for item in alike if item is not self]

    def _weakened(self, experiment: Experiment) -> Workload:
        """Return the workload of this mutant, and note what it lacks. Raises LeftOut."""
        workload = weakened(experiment.workload, self._operator)
        changed = changed_objects(experiment.workload, workload)
        self.experiment = self._plain = replace(self._plain, weakened=changed)
        twin = twin_like(experiment, workload)
        if twin in self._twins:
            self.stash[COVERED_KEY] = twin
            raise LeftOut(f"covered by the twin {twin}, which has the same workload")
        if why := self._operator.idle(experiment):
            raise LeftOut(why)
        return workload

    def catches(self, run: Run) -> bool:
        """Return whether this mutant, or the twin that covers it, is BROKEN, and its experiment held."""
        twin, base = self.stash.get(COVERED_KEY, ""), run.store.find(self._base, self._plain.name)
        if twin:
            found = run.store.find(f"{self._base}[{twin}]", self._plain.name, twin=twin)
        else:
            found = run.store.find(self.nodeid, self._plain.name, mutant=self._operator.name)
        held = base is not None and base.stage == "closed" and base.passed
        return held and found is not None and found.stage == "closed" and outcome_of(found) == "caught"

    def _with_workload(self, run: Run) -> Experiment:
        base = run.store.find(self._base, self._plain.name)
        if base is not None and base.stage == "closed" and not base.passed:
            pytest.skip(f"its experiment did not hold in this run: {base.verdict}")
        experiment = read_workload(run, self._plain)
        try:
            workload = self._weakened(experiment)
        except LeftOut as reason:
            pytest.skip(str(reason))
        settings = self.config.stash[SESSION_KEY].settings
        by = next((item.experiment.name for item in self._alike if item.catches(run)), "")
        if by and not settings.plan and not settings.mutate_every:
            pytest.skip(f"already caught by {by}")
        return replace(experiment, workload=workload, weakened=self._plain.weakened)

    def _judged(self, run: Run) -> ExperimentRecord:
        try:
            return super()._judged(run)
        except (CapabilityMissing, UndoFailed, Vetoed):
            raise
        except HarnessError:
            # For example the guard or the API server refused the weaker workload: the record has the reason, and the
            # mutant is undecided.
            if RECORD_KEY not in self.stash:
                raise
            return self.stash[RECORD_KEY]

    def _conclude(self, record: ExperimentRecord) -> None:
        # Also arrives from a worker of pytest-xdist.
        self.user_properties.append((OUTCOME, outcome_of(record)))
        if leftovers(record):
            check(record)

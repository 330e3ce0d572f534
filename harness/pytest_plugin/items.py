"""The pytest collector of an experiment file, and the item for an experiment or a twin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import ClusterRefused, HarnessError, InputError, UndoFailed, Vetoed
from harness.common.excerpts import with_excerpts
from harness.engine.outcome import Broken, check, had_faults
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
from harness.experiment.loading import load_experiment
from harness.pytest_plugin.session import Session
from harness.pytest_plugin.tally import REFUSALS_KEY
from harness.results.record import ExperimentRecord
from harness.results.reporting.plain import harmless

SESSION_KEY = pytest.StashKey[Session]()
RECORD_KEY = pytest.StashKey[ExperimentRecord]()
# Why a game day leaves out an item; empty: it runs.
LEFT_OUT_KEY = pytest.StashKey[str]()


def is_disruptive(item: pytest.Item) -> bool:
    """Return whether a test is marked disruptive: it affects more than its own namespace."""
    return item.get_closest_marker("disruptive") is not None


def opt_in_missing(item: pytest.Item, settings: Settings) -> str:
    """Return why a disruptive test may not run in this session, or ""."""
    allowed = settings.allow_disruptive or not is_disruptive(item)
    return "" if allowed else "affects more than its own namespace: add --allow-disruptive"


def folder_of(item: pytest.Item) -> Path:
    """Return the folder of an item's experiment: below it and above it are the files that it uses."""
    return (item.experiment.file if isinstance(item, ExperimentItem) else item.path).parent


class ExperimentFile(pytest.File):
    """One experiment file."""

    def collect(self) -> Iterable[pytest.Item]:
        session = self.config.stash[SESSION_KEY]
        try:
            experiment = load_experiment(self.path, session.sources(self.path))
            session.files.names.claim(experiment)
        except InputError as error:
            raise self.CollectError(with_excerpts(error)) from error
        yield ExperimentItem.from_parent(self, name=experiment.name, experiment=experiment)
        if session.settings.twins:
            for name in experiment.twins or {}:
                twin = experiment.as_twin(name)
                yield ExperimentItem.from_parent(self, name=twin.title, experiment=twin)


class ExperimentItem(pytest.Item):
    """One experiment, or one of its twins."""

    def __init__(self, *, experiment: Experiment, **rest: Any) -> None:  # noqa: ANN401
        super().__init__(**rest)
        self.experiment = experiment
        self.add_marker("resilience")
        if experiment.twin:
            self.add_marker("twin")
        if experiment.disruptive:
            self.add_marker("disruptive")

    def runtest(self) -> None:
        session = self.config.stash[SESSION_KEY]
        run = session.run_for(self.experiment.file)
        run, self.experiment = self.prepared(run)
        self.experiment = read_workload(run, self.experiment)
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

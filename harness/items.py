"""Experiment files as pytest sees them: a file that is collected, an item for the experiment and one for each twin."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError, InputError, UndoFailed
from harness.experiment import API_VERSION, Experiment
from harness.loading import load_experiment
from harness.outcome import Broken, check
from harness.record import ExperimentRecord
from harness.rehearsal.plan import plan
from harness.rehearsal.text import render
from harness.reporting.plain import harmless
from harness.requirements import require
from harness.run import Run
from harness.runner import Runner
from harness.series import Series
from harness.session import Session

HEAD = 65_536
_OURS = re.compile(rf"""(?:^|[{{,\s])["']?apiVersion["']?\s*:\s*["']?{API_VERSION.partition("/")[0]}/""")
_LOAD_PROFILE = re.compile(r"""["']?kind["']?\s*:\s*["']?LoadProfile\b""")

SESSION_KEY = pytest.StashKey[Session]()
RECORD_KEY = pytest.StashKey[ExperimentRecord]()


def is_experiment(path: Path) -> bool:
    """Whether a YAML file says in its head that it is an experiment; everything else is left to others."""
    # A pipe or a device would never end.
    if path.suffix not in {".yaml", ".yml"} or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(HEAD)
    except OSError:
        return False
    # Not by the kind alone: a misspelt one must be told of, and not be passed over in silence.
    return bool(_OURS.search(head)) and not _LOAD_PROFILE.search(head)


def experiment_files(path: Path) -> list[Path]:
    """The experiment files of a folder; any other path stands for itself."""
    return [file for file in sorted(path.rglob("*.y*ml")) if is_experiment(file)] if path.is_dir() else [path]


class ExperimentFile(pytest.File):
    """One experiment file."""

    def collect(self) -> Iterable[pytest.Item]:
        session = self.config.stash[SESSION_KEY]
        try:
            experiment = load_experiment(self.path, session.sources)
        except InputError as error:
            raise self.CollectError(str(error)) from error
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
        run = session.connect()
        if session.settings.plan:
            session.progress(render(plan(run, self.experiment)))
            pytest.skip("planned, and nothing was run")
        if not session.settings.strict:
            # Skipped before there is a record: nothing was asked of this cluster.
            require(run, self.experiment)
        runner = self._runner(run)
        self.stash[RECORD_KEY] = runner.record
        record = runner.run()
        self.config.hook.pytest_resilience_experiment_judged(record=record)
        check(record)

    def _runner(self, run: Run) -> Runner | Series:
        repeats = self.config.stash[SESSION_KEY].settings.repeats
        if repeats.at_most > 1:
            return Series(run, self.experiment, self.nodeid, repeats)
        return Runner(run, self.experiment, self.nodeid)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        if isinstance(excinfo.value, UndoFailed):
            return f"{self.stash[RECORD_KEY].reason}"
        if isinstance(excinfo.value, Broken | HarnessError):
            return harmless(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name

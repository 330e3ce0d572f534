"""Experiment files as pytest sees them: a file that is collected, an item for the experiment and one for each twin."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ClusterError, InputError
from harness.experiment import API_VERSION, Experiment
from harness.loading import load_experiment
from harness.outcome import Broken, Undecided, check
from harness.record import ExperimentRecord
from harness.runner import Runner
from harness.session import Session

SESSION_KEY = pytest.StashKey[Session]()
RECORD_KEY = pytest.StashKey[ExperimentRecord]()


def is_experiment(path: Path) -> bool:
    """Whether a YAML file says in its head that it is an experiment; everything else is left to others."""
    if path.suffix not in {".yaml", ".yml"}:
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(4096)
    except OSError:
        return False
    return API_VERSION.partition("/")[0] + "/" in head and "kind: Experiment" in head


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

    def runtest(self) -> None:
        run = self.config.stash[SESSION_KEY].connect()
        record = Runner(run, self.experiment, self.nodeid).run()
        self.stash[RECORD_KEY] = record
        self.config.hook.pytest_resilience_experiment_judged(record=record)
        check(record)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401
        if isinstance(excinfo.value, Broken | Undecided | ClusterError | InputError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, 0, self.name

"""Hooks that other pytest plugins and conftest files may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.results.record import ExperimentRecord, RunRecord


@pytest.hookspec
def pytest_resilience_run_started(run: RunRecord, folder: str) -> None:
    """Called once per session that is no dry run, after it connected to the cluster and before the first experiment."""


@pytest.hookspec
def pytest_resilience_experiment_judged(record: ExperimentRecord) -> None:
    """Called when an experiment or a twin has its verdict, in the process that ran it; not for mutants."""


@pytest.hookspec
def pytest_resilience_run_finished(run: RunRecord, folder: str) -> None:
    """Called once per session, after all experiments are judged and the report is written to ``folder``."""

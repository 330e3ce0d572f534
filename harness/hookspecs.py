"""Hooks that other pytest plugins and conftest files may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.record import ExperimentRecord, RunRecord


@pytest.hookspec
def pytest_resilience_experiment_judged(record: ExperimentRecord) -> None:
    """An experiment (or a twin) has its verdict. Called in the process that ran it."""


@pytest.hookspec
def pytest_resilience_run_finished(run: RunRecord, folder: str) -> None:
    """All experiments are judged and the report is written to ``folder``. Called once per session."""

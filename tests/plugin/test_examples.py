"""The example of a Python test passes on a cluster in memory."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

import harness.experiment.registry
from tests.plugin.conftest import Project

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_python_example_is_held(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    fault = importlib.import_module("shop_kinds.quarantine").PodQuarantine
    faults = {**harness.experiment.registry.faults(), fault.kind: fault}
    monkeypatch.setattr("harness.experiment.registry.faults", lambda: faults)
    # The fake ReplicaSet keeps pods whose labels no longer match: here the labels alone are evidence.
    monkeypatch.setattr(fault, "evidence", _labelled)
    shutil.copy(EXAMPLES / "experiments" / "test_quarantine.py", project.root)
    result = project.run("--cluster", "test_quarantine.py")
    result.assert_outcomes(passed=1)
    (record,) = project.record().experiments
    assert record.hypothesis == "A pod in quarantine stays there for inspection while the Deployment replaces it."


def _labelled(self: object, context: object, victims: object) -> object:
    from harness import Evidence

    return Evidence(proven=True, text="the labels are replaced")

"""Objectives on logs need a probe that reads those logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fake_run import EXPERIMENT
from tests.unit.experiment.test_loading import load, problems

PROBES = """\
probes:
  - podLogs: {name: errors, of: deployment/shop, lines: error}
"""


def _with(of: str, name: str, probes: str) -> str:
    objectives = f"objectives:\n  - logLines: {{of: {of}, name: {name}, max: 0}}\n"
    return EXPERIMENT.replace("objectives:\n", objectives) + probes


def test_logs_that_a_probe_reads_are_accepted(tmp_path: Path) -> None:
    assert load(tmp_path, _with("deployment/shop", "errors", PROBES)).probes


@pytest.mark.parametrize(
    ("of", "name", "probes", "message"),
    [
        ("deployment/shop", "errors", "", "name: found 'errors', but no probe podLogs: add one to `probes`"),
        ("deployment/shop", "erors", PROBES, "name: found the unknown probe 'erors', did you mean errors?"),
        (
            "statefulset/shop",
            "errors",
            PROBES,
            "of: found statefulset/shop, but the probe 'errors' reads deployment/shop",
        ),
    ],
)
def test_logs_that_no_probe_reads_are_refused(tmp_path: Path, of: str, name: str, probes: str, message: str) -> None:
    found = problems(tmp_path, _with(of, name, probes))
    assert any(f"objectives[0].logLines.{message}" in problem for problem in found), found


def test_probe_that_cannot_be_read_is_the_only_problem(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, _with("deployment/shop", "errors", PROBES.replace("lines", "line")))[:1]
    assert "probes[0].podLogs" in problem

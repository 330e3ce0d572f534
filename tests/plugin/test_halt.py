"""While a halt stands nothing begins; what runs ends at once, is undone, and the rest is skipped with the reason."""

from __future__ import annotations

from harness.model.verdict import Verdict
from tests.plugin.conftest import Project

HALTING = """
import pathlib
import pytest

@pytest.hookimpl
def pytest_resilience_experiment_judged(record):
    pathlib.Path({file!r}).write_text("enough")
"""


def test_halt_file_prevents_every_start(project: Project) -> None:
    (project.root / ".resilience-halt").write_text("lunch")
    project.experiment("one")
    result = project.run("--cluster", "experiments")
    assert result.ret == 6
    result.stdout.fnmatch_lines(["*no experiment may start: halted by the file*: lunch*"])
    assert not project.touched


def test_halt_skips_the_remaining_tests_with_the_reason(project: Project) -> None:
    project.experiment("one")
    project.experiment("two")
    project.pytester.makepyfile(test_python="def test_three(experiment): pass")
    project.pytester.makeconftest(HALTING.format(file=str(project.root / "stop")))
    result = project.run("--cluster", "--halt-file=stop", "experiments", "test_python.py")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*halted by the file*: enough"])
    assert [record.verdict for record in project.record().experiments] == [Verdict.HELD]


def test_the_halt_file_s_place_is_an_option(project: Project) -> None:
    (project.root / ".resilience-halt").write_text("lunch")
    project.experiment("one")
    project.run("--cluster", "--halt-file=other", "experiments").assert_outcomes(passed=1)

"""Choosing and ordering items, and stopping early, changes which experiments run, and no verdict."""

from __future__ import annotations

import pytest

from harness.results.reporting.store import load
from tests.plugin.conftest import Project

BROKEN = "faults: [mark: {}]\nobjectives: [told: {says: BROKEN}]\n"
ALL = {"a-unclear": "INCONCLUSIVE", "b-broken": "BROKEN", "c-held": "HELD"}


@pytest.fixture(autouse=True)
def experiments(project: Project) -> None:
    project.experiment("a-unclear", "objectives: [told: {says: INCONCLUSIVE}]\n")
    project.experiment("b-broken", BROKEN)
    project.experiment("c-held")


def _run(project: Project, *arguments: str) -> tuple[int, dict[str, str]]:
    """The exit code of a session, and the verdicts of its run."""
    before = set((project.root / "reports").glob("*/results.json"))
    result = project.pytester.runpytest_inprocess("--cluster", *arguments, "experiments")
    (file,) = set((project.root / "reports").glob("*/results.json")) - before
    return int(result.ret), {record.name: str(record.verdict) for record in load(file).experiments}


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (["-x"], ["a-unclear"]),
        (["--maxfail=2"], ["a-unclear", "b-broken"]),
        (["-k", "held or broken"], ["b-broken", "c-held"]),
        (["--deselect", "experiments/a-unclear.yaml"], ["b-broken", "c-held"]),
        (["-m", "resilience"], list(ALL)),
        (["-p", "no:junitxml", "-p", "no:cacheprovider"], list(ALL)),
    ],
)
def test_every_run_item_has_its_verdict(project: Project, arguments: list[str], ran: list[str]) -> None:
    code, verdicts = _run(project, *arguments)
    assert verdicts == {name: ALL[name] for name in ran}
    assert code == pytest.ExitCode.TESTS_FAILED


def test_last_failed_holds_what_is_broken_or_inconclusive(project: Project) -> None:
    assert _run(project)[1] == ALL
    code, verdicts = _run(project, "--lf")
    assert verdicts == {"a-unclear": "INCONCLUSIVE", "b-broken": "BROKEN"}
    assert code == pytest.ExitCode.TESTS_FAILED
    assert _run(project, "--ff") == (pytest.ExitCode.TESTS_FAILED, ALL)

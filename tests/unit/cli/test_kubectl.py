"""The plugin of kubectl: words become those of the harness or of pytest, and completion follows kubectl's protocol."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cli import kubectl
from harness.cli.main import BAD_INPUT


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words that `harness` gets, in place of running it."""
    calls: list[list[str]] = []

    def harness(words: Sequence[str]) -> int:
        calls.append([*words])
        return 3

    monkeypatch.setattr(kubectl, "harness", harness)
    return calls


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("halt --reason x", "halt --reason x --cluster=current"),
        ("sweep --dry-run --context prod", "sweep --dry-run --cluster=prod"),
        ("schedule list --context=prod", "schedule list --cluster=prod"),
        ("schedule render a.yaml", "schedule render a.yaml"),
        ("schedule suspend nightly --cluster=local", "schedule suspend nightly --cluster=local"),
        ("list faults", "list faults"),
        ("report reports/x", "report reports/x"),
        ("sweep --in-cluster", "sweep --in-cluster"),
        ("halt --help", "halt --help"),
    ],
)
def test_commands_use_the_context_of_kubectl(passed: list[list[str]], words: str, expected: str) -> None:
    assert kubectl.main(words.split()) == 3
    assert passed == [expected.split()]


def test_run_and_plan_start_pytest() -> None:
    assert kubectl.pytest_command("run", ["a.yaml", "--context", "kind-a"]) == [
        sys.executable, "-m", "pytest", "a.yaml", "--cluster=kind-a",
    ]  # fmt: skip
    assert kubectl.pytest_command("plan", ["a.yaml"])[-2:] == ["--cluster=current", "--plan"]


def test_unknown_command_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert kubectl.main(["shedule"]) == BAD_INPUT
    assert "found 'shedule', expected one of run, plan, list" in capsys.readouterr().err


def test_help_describes_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert kubectl.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in (*kubectl.RUNNING, *kubectl.PASSED):
        assert any(line.startswith(f"  {name}") and len(line.split()) > 2 for line in lines), name


@pytest.mark.parametrize(
    ("words", "proposals", "directive"),
    [
        ([""], ["halt", "list", "plan", "report", "run", "schedule", "sweep"], ":4"),
        (["s"], ["schedule", "sweep"], ":4"),
        (["schedule", "s"], ["suspend"], ":4"),
        (["halt", "--cl"], ["--clear", "--cluster", "--cluster-allow"], ":4"),
        (["run", ""], [], ":0"),
        (["halt", "--context", ""], [], ":0"),
        (["schedule", "render", "--time"], ["--time-zone"], ":4"),
    ],
)
def test_completion_proposes_what_may_follow(
    words: list[str], proposals: list[str], directive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kubectl.complete(words) == 0
    *found, last = capsys.readouterr().out.splitlines()
    assert last == directive
    assert found[: len(proposals)] == proposals


def test_entry_points_have_the_names_that_kubectl_runs() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["kubectl-resilience"] == "harness.cli.kubectl:main"
    assert project["scripts"]["kubectl_complete-resilience"] == "harness.cli.kubectl:complete"

"""A job of GitHub Actions shows the summary of the run and annotations of its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.pytest_plugin.github_job import MAX_SUMMARY, append_summary
from tests.plugin.conftest import HANGS, Project
from tests.plugin.test_game_days import FILE, write_day
from tests.plugin.test_plan import KILL

BROKEN = "objectives:\n  - told: {}\n  - told: {says: BROKEN}\n"
UNKNOWN = "objectives:\n  - told: {says: INCONCLUSIVE}\n"
WIDE = "disruptive: true\nobjectives: [told: {}]\n"


@pytest.fixture
def summary(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = project.root / "step-summary.md"
    file.write_text("# Before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))
    return file


def annotations(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith("::")]


def test_summary_is_appended(project: Project, summary: Path) -> None:
    project.experiment("missed", BROKEN)
    project.run("--cluster", "experiments/missed.yaml").assert_outcomes(failed=1)
    (stored,) = (project.root / "reports").glob("*/summary.md")
    assert summary.read_text() == f"# Before\n\n{stored.read_text()}"


def test_dry_run_appends_no_summary(project: Project, summary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.experiment("planned", KILL)
    result = project.run("--cluster", "--plan", "experiments/planned.yaml")
    result.assert_outcomes(skipped=1)
    assert summary.read_text() == "# Before\n"
    assert annotations(result.outlines) == []


@pytest.mark.parametrize("name", [".", "missing/summary.md", "pipe"])
def test_unusable_summary_file_is_one_warning(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "pipe":
        # Without a reader: opening it would never end.
        os.mkfifo(project.root / name)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.root / name))
    project.experiment("held")
    result = project.run("--cluster", "experiments/held.yaml")
    assert result.ret == pytest.ExitCode.OK
    warnings = [line for line in result.outlines if "warning: summary.md was not added" in line]
    assert len(warnings) == 1


def test_summary_that_github_rejects_is_not_appended(tmp_path: Path) -> None:
    summary, target = tmp_path / "summary.md", tmp_path / "target.md"
    summary.write_text("x" * (MAX_SUMMARY - 10))
    target.write_text("y" * 100)
    with pytest.raises(ValueError, match="GitHub accepts at most 1048576"):
        append_summary(summary, target)
    assert target.read_text() == "y" * 100


@pytest.mark.parametrize(
    ("actions", "chosen", "printed"),
    [
        ("true", [], True),
        ("", [], False),
        ("", ["--annotations=github"], True),
        ("true", ["--annotations=none"], False),
    ],
)
def test_annotations_are_printed_on_github_or_on_request(
    project: Project, monkeypatch: pytest.MonkeyPatch, actions: str, chosen: list[str], printed: bool
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", actions)
    for name, body in {"missed": BROKEN, "unknown": UNKNOWN, "wide": WIDE, "held": ""}.items():
        project.experiment(name, body)
    files = [f"experiments/{name}.yaml" for name in ("missed", "unknown", "wide", "held")]
    found = annotations(project.run("--cluster", *chosen, *files).outlines)
    assert [line.partition(",title")[0] for line in found] == [
        "::error file=experiments/missed.yaml,line=9",
        "::warning file=experiments/unknown.yaml,line=8",
        "::notice file=experiments/wide.yaml,line=3",
    ] * printed
    if printed:
        assert found[0].endswith("::told BROKEN")


def test_paths_are_relative_to_the_workspace(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.root.parent))
    project.experiment("missed", BROKEN)
    found = annotations(project.run("--cluster", "--annotations=github", "experiments/missed.yaml").outlines)
    assert [line.partition(",")[0] for line in found] == [f"::error file={project.root.name}/experiments/missed.yaml"]


def test_workspace_elsewhere_gives_paths_in_the_repository(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project.root / "somewhere" / "else"))
    (project.root / ".git").mkdir()
    project.experiment("missed", BROKEN)
    found = annotations(project.run("--cluster", "--annotations=github", "experiments/missed.yaml").outlines)
    assert [line.partition(",")[0] for line in found] == ["::error file=experiments/missed.yaml"]


def test_failed_undo_is_an_error(project: Project) -> None:
    project.experiment("stuck", "faults: [mark: {fails: undo}]\nobjectives: [told: {}]\n")
    found = annotations(project.run("--cluster", "--annotations=github", "experiments/stuck.yaml").outlines)
    assert found[0].startswith("::error title=UNDO FAILED%3A still in the cluster::")
    assert "take the mark away: the mark resists" in found[0]


def test_workers_add_one_summary_and_print_each_annotation_once(project: Project, summary: Path) -> None:
    for name in ("a-missed", "b-missed"):
        project.experiment(name, BROKEN)
    process = project.start("--cluster", "-p", "xdist", "-n", "2", "--annotations=github", "experiments")
    text, _ = process.communicate(timeout=HANGS)
    found = annotations(text.splitlines())
    assert [line.partition(",")[0] for line in sorted(found)] == [
        f"::error file=experiments/{name}-missed.yaml" for name in ("a", "b")
    ]
    assert summary.read_text().count("## ❌ BROKEN") == 1


def test_wrong_value_is_refused(project: Project) -> None:
    project.experiment("held")
    result = project.run("--cluster", "--annotations=gitlab", "experiments/held.yaml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--annotations: found 'gitlab', expected one of auto, github, none*"])


def test_annotation_of_a_game_day_is_in_its_experiment(project: Project) -> None:
    file = project.experiment("missed", BROKEN)
    write_day(project, "missed.yaml", "rounds: 2\n")
    result = project.run("--cluster", "--annotations=github", FILE)
    result.assert_outcomes(failed=2)
    line = file.read_text().splitlines().index("  - told: {says: BROKEN}") + 1
    found = annotations(result.outlines)
    assert len(found) == 2
    assert all(each.startswith(f"::error file=experiments/missed.yaml,line={line},title=BROKEN") for each in found)


def test_annotation_of_a_skip_in_a_game_day_is_in_its_experiment(project: Project) -> None:
    project.experiment("a")
    write_day(project, "a.yaml", "abort: [{promql: {name: errors, query: up, above: 1}}]\n")
    result = project.run("--cluster", "--annotations=github", FILE)
    (found,) = annotations(result.outlines)
    assert found.startswith("::notice file=experiments/a.yaml,line=3,title=skipped%3A a::the game day did not begin")

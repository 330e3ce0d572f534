"""Which experiments a test tier runs."""

from __future__ import annotations

import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from scripts import tiers
from tests.tiers import Candidate, Choice, changed_files, choose, cover, sample


def candidate(name: str, *kinds: str, seconds: float = 100.0, files: tuple[str, ...] = ()) -> Candidate:
    return Candidate(name, frozenset(kinds), frozenset((f"experiments/{name}.yaml", *files)), seconds)


def test_core_has_every_kind_in_little_time() -> None:
    found = cover(
        [
            candidate("long", "podKill", "availability", seconds=900),
            candidate("kill", "podKill", "availability"),
            candidate("hang", "processHang", "availability"),
            candidate("both", "podKill", "processHang", "restarts", seconds=90),
        ]
    )
    assert found == ["both", "hang"]


def test_touched_experiments_always_run() -> None:
    candidates = [candidate("kill", "podKill"), candidate("a", "podKill"), candidate("b", "podKill", seconds=9999)]
    chosen = choose(candidates, ["experiments/b.yaml", "README.md"], day=0)
    assert chosen == Choice(("a",), ("b",), ("kill",))
    assert str(chosen) == "core tier: every kind: a; touched: b; sample of the day: kill"


def test_every_part_is_bounded_and_has_its_day() -> None:
    candidates = [candidate(f"e{number:02}", f"kind{number}") for number in range(30)]
    chosen = [choose(candidates, [f"experiments/e{number:02}.yaml" for number in range(30)], day) for day in range(30)]
    assert {len(day.core) for day in chosen} == {12}
    assert {name for day in chosen for name in day.core} == {each.name for each in candidates}
    assert all(len(day.left_out) == 18 for day in chosen)
    assert "on another day, or now with scripts/test all: e" in str(chosen[0])


def test_experiments_that_need_an_operator_are_not_in_the_core() -> None:
    canary = replace(candidate("canary", "rolloutEnds"), operator=True)
    chosen = choose([candidate("kill", "podKill"), canary], ["experiments/canary.yaml"], day=0)
    assert chosen.names == {"kill"}
    assert str(chosen).endswith("; only with scripts/test all, since an operator must be built: canary")


@pytest.mark.parametrize("tier", ["core", "all"])
def test_live_tests_run_once_and_where_they_have_a_cluster(tier: str) -> None:
    phases = {phase.name: phase.arguments for group in tiers.phases(tier) for phase in group}
    for path in tiers.ON_SESSION:
        assert (tiers.ROOT / path).is_file()
        assert path in phases["experiments"]
        assert f"--ignore={path}" in phases["live"]
    assert f"--ignore={tiers.OF_TESTS}" in phases["live"]


def test_disruptive_experiments_have_a_separate_budget() -> None:
    candidates = [candidate(f"e{number}", "podKill", files=("all.yaml",)) for number in range(30)]
    alone = [replace(each, name=f"n{each.name}", disruptive=True) for each in candidates]
    chosen = choose(candidates + alone, ["all.yaml"], 0)
    assert len([name for name in chosen.touched if name.startswith("n")]) == 3
    assert len([name for name in chosen.touched if name.startswith("e")]) == 4


def test_sample_rotates_through_everything() -> None:
    candidates = [candidate(f"e{number:02}", "podKill") for number in range(23)]
    days = [sample(candidates, day, seconds=400) for day in range(23)]
    assert all(len(day) == 4 for day in days)
    assert {name for day in days for name in day} == {each.name for each in candidates}
    assert not set(days[0]) & set(days[1])


def test_sample_of_an_empty_list_is_empty() -> None:
    assert sample([], 3, seconds=100) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for command in (["init", "-q"], ["config", "user.email", "a@b"], ["config", "user.name", "a"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    commit(tmp_path, "old.yaml", "2020-01-01T00:00:00Z")
    return tmp_path


def commit(root: Path, name: str, date: str = "") -> None:
    (root / name).write_text("x")
    environment = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date} if date else {}
    subprocess.run(["git", "-C", str(root), "add", name], check=True)
    subprocess.run(
        ["git", "-C", str(root), "commit", "-qm", name], check=True, env={**environment, "PATH": "/usr/bin:/bin"}
    )


def test_change_is_the_last_day_and_the_work_tree(repository: Path) -> None:
    commit(repository, "new.yaml")
    (repository / "old.yaml").write_text("y")
    assert sorted(changed_files(repository)) == ["new.yaml", "old.yaml"]


def test_change_since_a_base(repository: Path) -> None:
    commit(repository, "new.yaml")
    assert changed_files(repository, "HEAD~1") == ["new.yaml"]


def test_folder_without_history_has_no_change(tmp_path: Path) -> None:
    assert changed_files(tmp_path) == []


def test_fast_needs_no_cluster() -> None:
    words = {word for group in tiers.phases("fast") for phase in group for word in phase.arguments}
    assert not [word for word in words if "cluster" in word or "live" in word or word == "experiments"]


@pytest.mark.parametrize("tier", ["core", "all"])
def test_no_experiment_runs_beside_measured_ones(tier: str) -> None:
    for group in tiers.phases(tier):
        assert len(group) == 1 or group[0].name == "disruptive-1"


def test_each_disruptive_part_has_its_cluster() -> None:
    group = next(group for group in tiers.phases("core") if len(group) > 1)
    names = [word for phase in group for word in phase.arguments if word.startswith(("--cluster-name", "--part"))]
    assert names == ["--part=1/2", "--cluster-name=disruptive-1", "--part=2/2", "--cluster-name=disruptive-2"]


def test_outcomes_of_a_phase_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "unit.xml"
    suites = (
        '<testsuite name="pytest" tests="9" failures="1" errors="2" skipped="3"/>'
        '<testsuite name="resilience objectives" tests="4" failures="1" errors="0" skipped="0"/>'
    )
    file.write_text(f"<testsuites>{suites}</testsuites>")
    assert tiers.counted(file) == Counter(passed=3, failed=1, errors=2, skipped=3)
    assert tiers.counted(tmp_path / "none.xml") == Counter()


def test_closing_line_is_that_of_pytest() -> None:
    assert tiers.closing(Counter(passed=7, failed=1), 2.5).strip("= ") == "1 failed, 7 passed in 2.50s"

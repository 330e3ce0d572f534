"""A game day that is named on the command line runs in its order, has one verdict, and continues where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.gameday.running import DayRun
from harness.gameday.surprise import place
from harness.model.verdict import Verdict
from tests.plugin.conftest import HANGS, Project

DAY = """\
apiVersion: resilience/v1
kind: GameDay
metadata: {name: friday}
hypothesis: Users notice nothing.
experiments: {paths: [%s]}
"""
BROKEN = "faults: [mark: {}]\nobjectives: [told: {says: BROKEN}]\n"


def write_day(project: Project, paths: str = "a.yaml, b.yaml", more: str = "") -> Path:
    folder = project.root / "experiments" / "gamedays"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "friday.yaml"
    file.write_text(DAY % ", ".join(f"../{path.strip()}" for path in paths.split(",")) + more)
    return file


def ran(result: pytest.RunResult) -> list[str]:
    """The names of the passed items in their order."""
    lines = [line for line in result.outlines if line.startswith("PASSED ")]
    return [line.rpartition("::")[2] for line in lines]


@pytest.fixture
def two(project: Project) -> Project:
    """A project with two experiments that hold."""
    for name in "ab":
        project.experiment(name)
    return project


FILE = "experiments/gamedays/friday.yaml"


def test_named_day_runs_in_rounds_with_one_verdict(two: Project) -> None:
    write_day(two, "b.yaml, a.yaml", "rounds: 2\npause: 100ms\n")
    result = two.run("--cluster", "-v", FILE)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["*game day friday: Users notice nothing.", "*2 rounds, order listed, 100 ms between two: 4 runs, about *"]
    )
    result.stdout.fnmatch_lines(["*game day friday: HELD: 4 runs: 4 passed"])
    run = two.record()
    assert run.game_day is not None
    day = run.game_day
    assert [(turn.name, turn.round, turn.verdict) for turn in day.turns] == [
        ("b", 1, Verdict.HELD), ("a", 1, Verdict.HELD), ("b", 2, Verdict.HELD), ("a", 2, Verdict.HELD)
    ]  # fmt: skip
    assert (day.verdict, day.rounds, day.runs, bool(day.finished)) == (Verdict.HELD, 2, [run.run], True)
    assert len({record.id for record in run.experiments}) == 4
    assert len({record.namespace for record in run.experiments}) == 4


def test_metrics_of_a_run_have_its_game_day(two: Project) -> None:
    write_day(two)
    two.run("--cluster", "--metrics-textfile=metrics.prom", FILE).assert_outcomes(passed=2)
    lines = (two.root / "metrics.prom").read_text().splitlines()
    assert 'resilience_gameday_verdict{context="fake",gameday="friday",verdict="HELD"} 1.0' in lines


def test_folder_with_a_day_runs_each_experiment_once(two: Project) -> None:
    write_day(two)
    two.run("--cluster", "experiments").assert_outcomes(passed=2)
    assert two.record().game_day is None


def test_day_below_a_folder_is_checked(two: Project) -> None:
    write_day(two, "a.yaml, c.yaml", "puase: 5m\n")
    result = two.run("--cluster", "experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*friday.yaml:6: puase: unknown key, did you mean pause?*"])
    write_day(two, "a.yaml, c.yaml")
    result = two.run("--cluster", "experiments")
    result.stdout.fnmatch_lines(["*experiments.paths?1?: found '../c.yaml', expected an experiment file*"])


def test_broken_run_breaks_the_day(two: Project) -> None:
    two.experiment("a", BROKEN)
    write_day(two)
    result = two.run("--cluster", FILE)
    result.assert_outcomes(passed=1, failed=1)
    day = two.record().game_day
    assert day is not None
    assert (day.verdict, day.reason) == (Verdict.BROKEN, "2 runs: 1 broke, 1 passed")


def test_stopped_day_continues_and_a_finished_one_begins_again(two: Project) -> None:
    two.experiment("a", BROKEN)
    write_day(two, more="twins: false\n")
    two.run("--cluster", "-x", FILE, "--report-dir=one").assert_outcomes(failed=1)
    stored = json.loads((two.root / "one" / "gamedays" / "friday.json").read_text())
    assert ([turn["name"] for turn in stored["turns"]], stored["finished"]) == (["a"], False)
    result = two.run("--cluster", FILE, "--report-dir=one")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*continues the game day of run *: 1 run done; add --fresh to start anew"])
    # What ran before the interruption counts.
    result.stdout.fnmatch_lines(["*game day friday: BROKEN: 2 runs: 1 broke, 1 passed"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    two.run("--cluster", FILE, "--report-dir=one").assert_outcomes(passed=1, failed=1)


def test_fresh_starts_a_new_day(two: Project) -> None:
    two.experiment("a", BROKEN)
    write_day(two)
    two.run("--cluster", "-x", FILE)
    two.run("--cluster", "--fresh", FILE).assert_outcomes(passed=1, failed=1)


def test_changed_day_starts_from_the_beginning(two: Project) -> None:
    two.experiment("a", BROKEN)
    write_day(two)
    two.run("--cluster", "-x", FILE)
    write_day(two, more="pause: 10ms\n")
    two.run("--cluster", FILE).assert_outcomes(passed=1, failed=1)


def test_rounds_of_a_duration_are_added_as_they_begin(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    following = iter([2, 3, None])
    monkeypatch.setattr(DayRun, "next_round", lambda _run: next(following))
    write_day(two, "a.yaml", "duration: 1h\n")
    result = two.run("--cluster", FILE)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["PASSED *::a", "PASSED *::a (round 2)", "PASSED *::a (round 3)"])


def test_twins_run_after_their_experiment(two: Project) -> None:
    twin = "twins: {weak: {patch: {deployment/shop: {spec: {replicas: 1}}}, breaks: [replicasTold]}}\n"
    two.experiment("a", f"objectives: [replicasTold: {{}}]\n{twin}")
    write_day(two, more="twins: true\n")
    two.run("--cluster", FILE).assert_outcomes(passed=3)
    day = two.record().game_day
    assert day is not None
    assert [(turn.name, turn.twin, turn.verdict) for turn in day.turns] == [
        ("a", "", Verdict.HELD), ("a", "weak", Verdict.HELD), ("b", "", Verdict.HELD)
    ]  # fmt: skip


def test_disruptive_experiments_need_permission(two: Project) -> None:
    two.experiment("alone", "disruptive: true\nobjectives: [told: {}]\n")
    write_day(two, "a.yaml, alone.yaml")
    result = two.run("--cluster", FILE)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*left out *alone: affects more than its own namespace: add --allow-disruptive"])
    two.run("--cluster", "--allow-disruptive", "--fresh", FILE).assert_outcomes(passed=2)


def test_budget_of_a_day_leaves_out_with_reasons(two: Project) -> None:
    write_day(two, more="budget: 40s\n")
    result = two.run("--cluster", FILE)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*1 of 2 experiments were chosen for a budget of 40 s*", "*chosen *: never run", "*left out *"]
    )
    day = two.record().game_day
    assert day is not None
    assert [len(day.choice.chosen), len(day.choice.left_out)] == [1, 1]
    # The other one has never run, and is chosen next.
    first = day.choice.chosen[0].name
    result = two.run("--cluster", FILE)
    result.stdout.fnmatch_lines([f"*chosen *{({'a', 'b'} - {first}).pop()}: never run"])


def test_budget_and_a_duration_are_refused(two: Project) -> None:
    write_day(two, more="duration: 1h\n")
    result = two.run("--cluster", "--budget=20m", FILE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*friday.yaml:6: duration: found duration and --budget, expected one of them"])
    assert not two.happened()


def test_plan_of_a_day_changes_and_stores_nothing(two: Project) -> None:
    write_day(two)
    result = two.run("--cluster", "--plan", FILE)
    result.stdout.fnmatch_lines(["*1 round, order listed: 2 runs, about*", "*plan of a*", "*plan of b*"])
    assert not (two.root / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiments/a.yaml"], "*expected a game day alone*"),
        (["-n", "2"], "*a game day runs one experiment after another, in one process: remove -n (pytest-xdist)*"),
    ],
)
def test_what_a_day_cannot_run_with_is_refused(two: Project, arguments: list[str], message: str) -> None:
    write_day(two)
    result = two.run("--cluster", FILE, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert two.happened() == []


def test_second_day_in_a_session_is_refused(two: Project) -> None:
    other = write_day(two).read_text().replace("friday", "monday")
    (two.root / "experiments" / "gamedays" / "monday.yaml").write_text(other)
    result = two.run("--cluster", FILE, "experiments/gamedays/monday.yaml")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*found a second game day, beside *friday.yaml; expected one in a session*"])


def test_deselected_turns_are_left_out(two: Project) -> None:
    write_day(two)
    two.run("--cluster", FILE, "-k", "b").assert_outcomes(passed=1, deselected=1)
    day = two.record().game_day
    assert day is not None
    assert (day.verdict, day.choice.left_out[0].reason) == (Verdict.HELD, "deselected on the command line")


def test_day_without_a_cluster_is_skipped(two: Project) -> None:
    write_day(two)
    two.run(FILE).assert_outcomes(skipped=2)
    assert not two.touched


def test_budget_deselects_with_reasons(two: Project) -> None:
    result = two.run("--cluster", "--budget=40s", "experiments")
    result.assert_outcomes(passed=1, deselected=1)
    chosen = "*1 of 2 experiments were chosen for a budget of 40 s*"
    result.stdout.fnmatch_lines([chosen, "*left out *9 s is left*"])
    first = two.record()
    assert first.choice is not None
    assert first.choice.left_out[0].reason == "takes 31 s, and 9 s is left (never run)"
    # What has never run is chosen by the next run, wherever the results of the first one are.
    (two.root / "reports").rename(two.root / "earlier")
    two.run("--cluster", "--budget=40s", "--history=earlier", "experiments")
    second = two.record()
    assert second.choice is not None
    assert second.choice.chosen[0].name == first.choice.left_out[0].name


def test_workers_make_the_same_choice(two: Project) -> None:
    for name in "cd":
        two.experiment(name)
    # In processes of their own, since the workers need the project's conftest.
    process = two.start("--cluster", "--budget=40s", "-p", "xdist", "-n", "2", "experiments")
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    assert "2 passed" in text
    choice = two.record().choice
    assert choice is not None
    assert (choice.workers, len(choice.chosen), len(choice.left_out)) == (2, 2, 2)
    assert "2 of 4 experiments were chosen for a budget of 40 s, 2 workers" in text
    assert text.count("left out ") == 2


@pytest.mark.parametrize("budget", ["soon", "0s", "20"])
def test_wrong_budget_is_refused(two: Project, budget: str) -> None:
    result = two.run("--cluster", f"--budget={budget}", "experiments")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--budget: found '{budget}', expected a duration of more than 0s, such as 20m*"])


def test_surprise_shows_nothing_of_the_plan_before_its_end(project: Project) -> None:
    names = ["apple", "berry", "cherry", "damson"]
    for name in names:
        project.experiment(name)
    write_day(project, ", ".join(f"{name}.yaml" for name in names), "surprise: {within: 0s}\n")
    result = project.run("--cluster", "-v", FILE)
    result.assert_outcomes(passed=4)
    lines = [*result.outlines, *result.errlines]
    sealed = next(n for n, line in enumerate(lines) if "is sealed: SHA-256" in line)
    opened = next(n for n, line in enumerate(lines) if "the plan is opened" in line)
    between = lines[sealed:opened]
    assert [line for line in between if "surprise-" in line and "PASSED" in line]
    run = project.record()
    assert run.game_day
    assert run.game_day.sealed
    assert run.game_day.sealed.hash in lines[sealed]
    plan = json.loads(run.game_day.sealed.content)
    assert plan["turns"] == [turn.name for turn in run.game_day.turns]
    assert sorted(plan["turns"]) == names
    assert {record.namespace.partition("-run")[0][:9] for record in run.experiments} == {"rh-sealed"}
    assert [line for line in between if any(name in line for name in names)] == []


def test_guard_line_does_not_show_the_sealed_order(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("first", "last"):
        text = project.experiment(folder).read_text()
        (project.root / "experiments" / folder).mkdir()
        (project.root / "experiments" / f"{folder}.yaml").unlink()
        (project.root / "experiments" / folder / f"{folder}.yaml").write_text(text)
    salt = next(salt for salt in map(str, range(100)) if place("last", salt) < place("first", salt))
    monkeypatch.setattr("harness.gameday.surprise_rule.new_salt", lambda: salt)
    write_day(project, "first/first.yaml, last/last.yaml", "surprise: {within: 0s}\n")
    result = project.run("--cluster", FILE)
    result.assert_outcomes(passed=2)
    day = project.record().game_day
    assert day
    assert [turn.name for turn in day.turns] == ["last", "first"]
    result.stdout.fnmatch_lines(["*searched upwards from *experiments/first, *experiments/last*"])


def test_day_that_does_not_begin_fails_and_has_a_report(two: Project) -> None:
    write_day(two, more="abort: [{promql: {name: errors, query: up, above: 1}}]\n")
    result = two.run("--cluster", FILE)
    result.assert_outcomes(skipped=2)
    # Nothing was shown, which is never a pass.
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    run = two.record()
    assert run.game_day
    assert run.game_day.aborted == "the game day did not begin: no Prometheus found, needed to evaluate: errors"
    assert run.game_day.aborted in (two.root / "reports" / run.run / "summary.md").read_text()
    assert (two.root / "reports" / run.run / "index.html").exists()


def test_report_folder_that_is_a_file_is_one_message(two: Project) -> None:
    write_day(two)
    (two.root / "reports").touch()
    result = two.run("--cluster", FILE)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the state of the game day cannot be stored: Not a directory: *expected a folder*"])
    result.stdout.no_fnmatch_line("*Error: *Errno*")


def test_changed_day_notes_that_it_does_not_continue(two: Project) -> None:
    two.experiment("a", BROKEN)
    write_day(two)
    two.run("--cluster", "-x", FILE)
    write_day(two, more="pause: 10ms\n")
    result = two.run("--cluster", FILE)
    result.stdout.fnmatch_lines(["note: the interrupted game day of run * does not continue: its file was changed"])


def test_day_of_another_cluster_is_not_continued(two: Project) -> None:
    two.experiment("a", BROKEN)
    write_day(two)
    two.run("--cluster", "-x", FILE)
    file = two.root / "reports" / "gamedays" / "friday.json"
    stored = json.loads(file.read_text())
    assert stored["context"] == "fake"
    file.write_text(json.dumps({**stored, "context": "staging"}))
    # Which cluster `auto` selects is known only once it is connected.
    result = two.run("--cluster", FILE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    wrong = "*the interrupted game day ran on the cluster staging, and this run is on fake; expected the same*"
    result.stdout.fnmatch_lines([wrong])
    result = two.run("--cluster=production", FILE)
    result.stdout.fnmatch_lines(["note: the interrupted game day * does not continue: it ran on the cluster staging"])
    result.assert_outcomes(passed=1, failed=1)

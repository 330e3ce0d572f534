"""``--repeat``: attempts until it is clear how an experiment comes out, in one item, one verdict and one record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar
from xml.etree import ElementTree

import pytest

import harness.experiment.registry
from harness.engine.series import seed_of
from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from tests.fake_plugin import Told
from tests.plugin.conftest import HANGS, Project
from tests.plugin.test_xdist import WORKERS

UNPROVEN = "faults: [mark: {fails: proof}]\nobjectives: [told: {}]\n"
BROKEN = "faults: [mark: {}]\nobjectives: [told: {says: BROKEN}]\n"


class WorkerLock(Told):
    """HELD in all turns but those that are listed, BROKEN in those."""

    kind: ClassVar[str] = "turns"
    broken: tuple[int, ...] = ()
    turn: ClassVar[int] = 0

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        WorkerLock.turn += 1
        verdict = Verdict.BROKEN if WorkerLock.turn in self.broken else Verdict.HELD
        return Finding(verdict=verdict, reason=f"turn {WorkerLock.turn}")


@pytest.fixture
def turning(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that knows the objective ``turns``."""
    known = {**harness.experiment.registry.objectives(), "turns": WorkerLock}
    monkeypatch.setattr(harness.experiment.registry, "objectives", lambda: known)
    monkeypatch.setattr(WorkerLock, "turn", 0)
    return project


def test_series_stops_once_it_clearly_holds(project: Project) -> None:
    project.experiment("held")
    result = project.run("--cluster", "--repeat=20", "--resilience-seed=7", "experiments/held.yaml")
    result.assert_outcomes(passed=1)
    (record,) = project.record().experiments
    assert (record.verdict, record.passed, record.stage) == (Verdict.HELD, True, "closed")
    assert record.series is not None
    assert (record.series.as_should, record.series.otherwise, record.series.at_most) == (5, 0, 20)
    assert record.series.clear_after == 5
    assert [attempt.attempt for attempt in record.attempts] == [1, 2, 3, 4, 5]
    assert "held in 5 of 5 attempts" in record.reason
    result.stdout.fnmatch_lines(["*held * HELD 5/5 *"])
    # Each has a namespace of its own, a seed of its own, and is told by its number.
    assert len({attempt.namespace for attempt in record.attempts}) == 5
    assert [attempt.seed for attempt in record.attempts] == [seed_of(7, number) for number in range(1, 6)]
    assert len({attempt.seed for attempt in record.attempts}) == 5
    assert record.attempts[0].seed == 7
    result.stdout.fnmatch_lines(["*held #5: HELD*"])


def test_series_stops_once_it_is_clearly_broken(project: Project) -> None:
    project.experiment("missed", BROKEN)
    result = project.run("--cluster", "--repeat=20", "experiments/missed.yaml")
    result.assert_outcomes(failed=1)
    (record,) = project.record().experiments
    assert (record.verdict, len(record.attempts)) == (Verdict.BROKEN, 2)
    assert "held in 0 of 2 attempts" in record.reason
    assert "attempt 1: told: told BROKEN" in record.reason


def test_one_bad_attempt_takes_more_good_ones(turning: Project) -> None:
    turning.experiment("turns", "faults: [mark: {}]\nobjectives: [turns: {broken: [3]}]\n")
    result = turning.run("--cluster", "--repeat=20", "experiments/turns.yaml")
    result.assert_outcomes(passed=1)
    (record,) = turning.record().experiments
    assert record.series is not None
    assert (record.series.as_should, record.series.otherwise) == (9, 1)
    result.stdout.fnmatch_lines(["*turns * HELD 9/10 *"])
    # The worst attempt speaks for the objective.
    assert [(found.verdict, found.reason) for found in record.objectives] == [
        (Verdict.BROKEN, "attempt 3: turn 3"),
    ]


def test_too_few_are_no_verdict(turning: Project) -> None:
    turning.experiment("turns", "faults: [mark: {}]\nobjectives: [turns: {broken: [3]}]\n")
    result = turning.run("--cluster", "--repeat=6", "experiments/turns.yaml")
    result.assert_outcomes(errors=1)
    (record,) = turning.record().experiments
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert "not enough repeats: held in 5 of 6 attempts, at least 10 are needed with 1 that did not" in record.reason


def test_inconclusive_attempts_count_for_neither_side(project: Project) -> None:
    project.experiment("unproven", UNPROVEN)
    result = project.run("--cluster", "--repeat=5", "experiments/unproven.yaml")
    result.assert_outcomes(errors=1)
    (record,) = project.record().experiments
    assert record.series is not None
    assert (record.series.as_should, record.series.otherwise, record.series.undecided) == (0, 0, 5)
    assert "5 INCONCLUSIVE, attempt 1: no evidence that mark took effect" in record.reason


def test_repeat_all_runs_every_attempt_and_keeps_first_decision(turning: Project) -> None:
    turning.experiment("turns", "faults: [mark: {}]\nobjectives: [turns: {broken: [6, 7]}]\n")
    result = turning.run("--cluster", "--repeat=7", "--repeat-all", "experiments/turns.yaml")
    result.assert_outcomes(passed=1)
    (record,) = turning.record().experiments
    assert record.series is not None
    assert (record.verdict, record.series.clear_after, len(record.attempts)) == (Verdict.HELD, 5, 7)


def test_every_attempt_of_a_twin_must_break(project: Project) -> None:
    twins = "{one: {patch: {deployment/shop: {spec: {replicas: 1}}}, breaks: [replicasTold]},"
    twins += " two: {patch: {deployment/shop: {spec: {replicas: 2}}}, breaks: [replicasTold]}}"
    project.experiment("shop", f"faults: [mark: {{}}]\nobjectives: [replicasTold: {{}}]\ntwins: {twins}\n")
    result = project.run("--cluster", "--twins", "--repeat=3", "--repeat-confidence=80%", "experiments/shop.yaml")
    result.assert_outcomes(passed=2, failed=1)
    records = {record.twin: record for record in project.record().experiments}
    assert {twin: (record.verdict, record.passed) for twin, record in records.items()} == {
        "": (Verdict.HELD, True),
        "one": (Verdict.BROKEN, True),
        "two": (Verdict.HELD, False),
    }
    assert "broke as expected in 3 of 3 attempts" in records["one"].reason
    assert len(records["two"].attempts) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repeat=3"], "--repeat: found 3, expected 1 or at least 5: .*or use --repeat-confidence=80%"),
        (["--repeat=0"], "--repeat: found '0', expected a whole number of at least 1"),
        (["--repeat=9", "--repeat-confidence=50%"], "--repeat-confidence: found '50%', expected more than 50%"),
        (["--repeat=9", "--repeat-confidence=sure"], "--repeat-confidence: found 'sure'"),
    ],
)
def test_repeats_unable_to_reach_a_verdict_are_refused(project: Project, arguments: list[str], said: str) -> None:
    project.experiment("held")
    result = project.run("--cluster", *arguments, "experiments/held.yaml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert re.search(said, "\n".join(result.errlines))
    assert not project.touched


def test_forced_end_of_an_attempt_ends_the_series(project: Project) -> None:
    project.experiment("bug", "faults: [mark: {fails: undo}]\nobjectives: [told: {}]\n")
    result = project.run("--cluster", "--repeat=5", "experiments/bug.yaml")
    result.assert_outcomes(errors=1)
    (record,) = project.record().experiments
    assert (record.verdict, record.passed, len(record.attempts)) == (Verdict.INCONCLUSIVE, False, 1)
    assert record.reason.startswith("attempt 1 ended the series: UNDO FAILED")
    result.stdout.fnmatch_lines(["*UNDO FAILED: these effects are still in the cluster*", "*the mark resists*"])


def test_junit_and_report_list_every_attempt(project: Project) -> None:
    project.experiment("missed", BROKEN)
    project.run("--cluster", "--repeat=5", "--junitxml=junit.xml", "experiments/missed.yaml")
    (case,) = ElementTree.parse(project.root / "junit.xml").iterfind("testsuite[@name='pytest']/testcase")
    properties = {found.get("name"): found.get("value") for found in case.iter("property")}
    assert properties["attempts"] == "2"
    assert properties["attempts.as_should"] == "0"
    (report,) = (project.root / "reports").glob("*/index.html")
    text = report.read_text()
    assert "Attempt 1" in text
    assert "Attempt 2" in text
    (summary,) = (project.root / "reports").glob("*/summary.md")
    assert "BROKEN 0/2" in summary.read_text()


def test_workers_repeat_too(project: Project) -> None:
    for name in ("a", "b", "c"):
        project.experiment(name)
    process = project.start("--cluster", *WORKERS, "--repeat=5", "experiments")
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == pytest.ExitCode.OK, text
    assert [len(record.attempts) for record in project.record().experiments] == [5, 5, 5]

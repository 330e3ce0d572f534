"""HELD, BROKEN, INCONCLUSIVE are passed, failed, error: on the screen, in JUnit's XML and in the stored run."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from harness.model.verdict import Verdict
from tests.plugin.conftest import Project

TWINS = """
objectives: [replicasTold: {}, told: {}]
twins:
  one-replica:
    patch: {deployment/shop: {spec: {replicas: 1}}}
    breaks: [replicasTold]
  still-two:
    patch: {deployment/shop: {spec: {replicas: 2}}}
    breaks: [replicasTold]
  wrong-one:
    patch: {deployment/shop: {spec: {replicas: 1}}}
    breaks: [told]
"""
BODIES = {
    "held": "faults: [mark: {}]\nobjectives: [told: {}]\n",
    "missed": "objectives: [told: {says: BROKEN}]\n",
    "unknown": "objectives: [told: {says: INCONCLUSIVE}]\n",
    "crashed": "objectives: [told: {crashes: true}]\n",
    "unsteady": "faults: [mark: {}]\nobjectives: [told: {steady: BROKEN}]\n",
    "unproven": "faults: [mark: {fails: proof}]\nobjectives: [told: {}]\n",
    "forbidden": "faults: [mark: {fails: inject, error: api}]\nobjectives: [told: {}]\n",
    "bug": "faults: [mark: {fails: evidence, error: bug}]\nobjectives: [told: {}]\n",
}
ERRORS = set(BODIES) - {"held", "missed"}


def test_each_verdict_is_shown_by_name(project: Project) -> None:
    for name, body in BODIES.items():
        project.experiment(name, body)
    chosen = [f"experiments/{name}.yaml" for name in BODIES]
    result = project.run("--cluster", "--junitxml=junit.xml", *chosen)
    result.assert_outcomes(passed=1, failed=1, errors=len(ERRORS))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    suite = ElementTree.parse(project.root / "junit.xml").find("testsuite")
    assert suite is not None
    cases = {str(case.get("name")): case for case in suite.iter("testcase")}
    shown = {name: {child.tag for child in case} & {"failure", "error", "skipped"} for name, case in cases.items()}
    assert shown == {"held": set(), "missed": {"failure"}} | {name: {"error"} for name in ERRORS}
    records = {record.name: record for record in project.record().experiments}
    for name, case in cases.items():
        properties = [(found.get("name"), found.get("value")) for found in case.iter("property")]
        # Once each: a property given twice has two values for whoever reads it.
        assert len(dict(properties)) == len(properties)
        assert dict(properties)["verdict"] == records[name].verdict
        reasons = {name: value for name, value in properties if str(name).endswith(".reason")}
        expected = [seen for seen in records[name].objectives if seen.verdict != Verdict.HELD]
        assert reasons == {f"objective.{seen.title}.reason": seen.reason for seen in expected}
    assert records["held"].verdict == Verdict.HELD
    assert records["missed"].verdict == Verdict.BROKEN
    assert {records[name].verdict for name in ERRORS} == {Verdict.INCONCLUSIVE}
    assert [record.name for record in records.values() if record.passed] == ["held"]
    assert {record.stage for record in records.values()} == {"closed"}
    assert "the steady state did not hold, nothing was injected" in records["unsteady"].reason
    assert records["unsteady"].faults[0].injected is None
    assert "403 Forbidden" in records["forbidden"].reason
    assert "ZeroDivisionError: a bug" in records["bug"].reason
    assert project.happened()[-1] == "left: []"


def test_an_inconclusive_experiment_stops_the_session_under_x(project: Project) -> None:
    project.experiment("a-unknown", BODIES["unknown"])
    project.experiment("b-held")
    result = project.run("--cluster", "-x", "experiments/a-unknown.yaml", "experiments/b-held.yaml")
    result.assert_outcomes(errors=1)
    assert [record.name for record in project.record().experiments] == ["a-unknown"]


def test_twin_passes_only_if_its_named_objective_breaks(project: Project) -> None:
    project.experiment("mended", TWINS)
    result = project.run("--cluster", "--twins", "experiments/mended.yaml")
    result.assert_outcomes(passed=2, failed=2)
    passed = {record.twin: record.passed for record in project.record().experiments}
    assert passed == {"": True, "one-replica": True, "still-two": False, "wrong-one": False}
    result.stdout.fnmatch_lines(["*the twin must break told, but did not*"])


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (["experiments/mended.yaml::mended[one-replica]"], ["mended[one-replica]"]),
        (["experiments/mended.yaml::mended", "-m", "not twin"], ["mended"]),
        (["-k", "wrong-one"], ["mended[wrong-one]"]),
        (["-m", "resilience and not twin", "experiments/mended.yaml"], ["mended"]),
    ],
)
def test_experiments_and_twins_are_selected_like_any_test(
    project: Project, chosen: list[str], found: list[str]
) -> None:
    project.experiment("mended", TWINS)
    result = project.run("--twins", "--collect-only", "-q", *chosen)
    assert [line.partition("::")[2] for line in result.outlines if "::" in line] == found


def test_twins_run_only_on_request(project: Project) -> None:
    project.experiment("mended", TWINS)
    result = project.run("--collect-only", "-q", "experiments/mended.yaml")
    assert [line for line in result.outlines if "::" in line] == ["experiments/mended.yaml::mended"]


def test_an_undo_that_failed_is_the_loudest_thing_on_the_screen(project: Project) -> None:
    project.experiment("stuck", "faults: [mark: {fails: undo}]\nobjectives: [told: {}]\n")
    result = project.run("--cluster", "--color=yes", "experiments/stuck.yaml")
    result.assert_outcomes(errors=1)
    (record,) = project.record().experiments
    assert record.verdict == Verdict.INCONCLUSIVE
    assert not record.passed
    assert "UNDO FAILED: take the mark away: the mark resists" in record.reason
    assert [undo.state for undo in record.faults[0].undo] == ["failed"]
    loud = [line for line in result.outlines if "\x1b[31m" in line and "\x1b[1m" in line]
    assert any("UNDO FAILED: these effects are still in the cluster" in line for line in loud)
    assert any("take the mark away: the mark resists" in line for line in loud)


def test_a_disruptive_experiment_needs_leave(project: Project) -> None:
    project.experiment("wide", "disruptive: true\nobjectives: [told: {}]\n")
    project.run("--cluster", "experiments/wide.yaml").assert_outcomes(skipped=1)
    project.run("--cluster", "--allow-disruptive", "experiments/wide.yaml").assert_outcomes(passed=1)


def test_other_plugins_receive_every_verdict_and_the_run(project: Project) -> None:
    project.experiment("held")
    project.pytester.makeconftest(
        """
        from pathlib import Path
        heard = Path(__file__).parent / "heard"
        def pytest_resilience_experiment_judged(record):
            heard.write_text(record.verdict)
        def pytest_resilience_run_finished(run, folder):
            heard.write_text(f"{heard.read_text()} {len(run.experiments)} {Path(folder, 'results.json').exists()}")
        """
    )
    project.run("--cluster", "experiments/held.yaml").assert_outcomes(passed=1)
    assert (project.root / "heard").read_text() == "HELD 1 True"

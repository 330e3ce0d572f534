"""The JUnit file has a test case for each objective, in a suite beside pytest's own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.plugin.conftest import HANGS, Project
from tests.plugin.test_verdicts import TWINS

BODIES = {
    "held": "objectives: [told: {}]\n",
    "missed": "objectives: [replicasTold: {}, told: {says: BROKEN}]\n",
    "unknown": "objectives: [told: {says: INCONCLUSIVE}]\n",
    "unsteady": "objectives: [told: {steady: BROKEN}]\n",
}


def suites(file: Path) -> dict[str, ElementTree.Element]:
    return {str(suite.get("name")): suite for suite in ElementTree.parse(file).getroot().findall("testsuite")}


def counts(suite: ElementTree.Element) -> dict[str, int]:
    return {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "xdist"])
def test_each_objective_is_a_case(project: Project, workers: tuple[str, ...]) -> None:
    for name, body in BODIES.items():
        project.experiment(name, body)
    process = project.start("-p", "xdist", "--cluster", "--junitxml=out/junit.xml", *workers, "experiments")
    out, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 1, out
    found = suites(project.root / "out/junit.xml")
    assert counts(found.pop("resilience objectives")) == {"tests": 4, "failures": 1, "errors": 1, "skipped": 0}
    (own,) = found.values()
    assert counts(own) == {"tests": 4, "failures": 1, "errors": 2, "skipped": 0}
    assert "1 failed, 1 passed, 2 errors" in out
    cases = {
        (str(case.get("classname")).rpartition(".")[2], case.get("name")): [child.tag for child in case]
        for case in suites(project.root / "out/junit.xml")["resilience objectives"]
    }
    assert cases == {
        ("held", "told"): [],
        ("missed", "replicasTold"): [],
        ("missed", "told"): ["failure"],
        ("unknown", "told"): ["error"],
    }


def test_failure_has_the_reason_of_its_objective(project: Project) -> None:
    project.experiment("missed", BODIES["missed"])
    project.run("--cluster", "--junitxml=junit.xml", "experiments")
    (failure,) = suites(project.root / "junit.xml")["resilience objectives"].iter("failure")
    assert failure.get("message") == failure.text == "BROKEN: told BROKEN"


def test_objectives_of_twins_are_left_out(project: Project) -> None:
    project.experiment("mended", TWINS)
    project.run("--cluster", "--twins", "--junitxml=junit.xml", "experiments/mended.yaml")
    suite = suites(project.root / "junit.xml")["resilience objectives"]
    assert counts(suite) == {"tests": 2, "failures": 0, "errors": 0, "skipped": 0}


def test_file_without_experiments_is_unchanged(project: Project) -> None:
    project.pytester.makepyfile(test_other="def test_it(): pass")
    project.run("--cluster", "--junitxml=junit.xml", "test_other.py")
    assert len(suites(project.root / "junit.xml")) == 1

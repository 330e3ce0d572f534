"""An item that is run more than once, and two files with one name: no attempt is lost, and none harms another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.cluster.kube.resources import NAMESPACES
from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from tests.fake_plugin import Told
from tests.plugin.conftest import Project

# As pytest-rerunfailures does it: within one protocol of the item, and only the last reports are logged.
TWICE = """
import pytest
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    runtestprotocol(item, nextitem=nextitem, log=False)
    if hasattr(item, "_initrequest"):
        item._initrequest()
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
PYTHON = """
from tests.fake_plugin import Told

def test_one(experiment):
    experiment.workload("workloads/shop")
    experiment.assert_objectives(Told(), recovery=0.1, settle=0.05)
"""


@pytest.fixture
def verdicts(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    """What objectives find, in turn; items are run twice."""
    found: list[Verdict] = []

    def judge(_self: Told, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        return Finding.exact(found.pop(0), "as arranged", 1.0, limit=2.0, unit="s", comparison="<=", samples=7)

    monkeypatch.setattr(Told, "judge", judge)
    project.pytester.makeconftest(TWICE)
    return found


@pytest.mark.parametrize("first", [Verdict.BROKEN, Verdict.INCONCLUSIVE])
@pytest.mark.parametrize("python", [False, True])
def test_rerun_that_holds_does_not_hide_the_first_attempt(
    project: Project, verdicts: list[Verdict], first: Verdict, python: bool
) -> None:
    verdicts += [first, Verdict.HELD]
    if python:
        project.pytester.makepyfile(test_shop=PYTHON)
    else:
        project.experiment("shop", "objectives: [told: {}]\n")
    result = project.run("--cluster", "test_shop.py" if python else "experiments")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [f"{first}: 2 experiments: *", f"* was run 2 times: {first}, HELD. Every attempt counts*"]
    )
    records = project.record().experiments
    assert [(record.rerun, record.verdict) for record in records] == [(0, first), (1, Verdict.HELD)]
    assert len({record.namespace for record in records}) == 2
    (summary,) = (project.root / "reports").glob("*/summary.md")
    assert f"was run 2 times: {first}, HELD" in summary.read_text()


def test_rerun_of_what_held_passes(project: Project, verdicts: list[Verdict]) -> None:
    verdicts += [Verdict.HELD, Verdict.HELD]
    project.experiment("shop", "objectives: [told: {}]\n")
    assert project.run("--cluster", "experiments").ret == 0
    assert len(project.record().experiments) == 2


def test_twin_that_broke_only_when_run_again_has_not_passed(project: Project, verdicts: list[Verdict]) -> None:
    twin = "twins: {weak: {because: it is weaker, patch: {deployment/shop: {spec: {replicas: 1}}}, breaks: [told]}}\n"
    verdicts += [Verdict.HELD, Verdict.BROKEN]
    project.experiment("shop", "objectives: [told: {}]\n" + twin)
    result = project.run("--cluster", "--twins", "experiments/shop.yaml::shop[weak]")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [record.passed for record in project.record().experiments] == [False, True]


def test_reruns_of_a_series_are_separate_series(project: Project, verdicts: list[Verdict]) -> None:
    verdicts += [Verdict.HELD] * 10
    project.experiment("shop", "objectives: [told: {}]\n")
    project.run("--cluster", "--repeat=5", "--repeat-all", "experiments")
    records = project.record().experiments
    assert [(record.rerun, len(record.attempts)) for record in records] == [(0, 5), (1, 5)]
    assert len({attempt.namespace for record in records for attempt in record.attempts}) == 10


def test_two_files_with_one_name_are_refused(project: Project) -> None:
    first = project.experiment("shop")
    second = first.with_name("other.yaml")
    second.write_text(first.read_text())
    result = project.run("--cluster", "experiments")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    found = f"found 'shop', which is also the name*in {second}; expected a unique name"
    result.stdout.fnmatch_lines([f"*{first}:3: metadata.name: {found}*"])
    assert not project.touched


@pytest.fixture
def deleted_while_it_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Someone deletes the experiment's namespace, and its objective is BROKEN because of that."""

    def judge(_self: Told, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        assert project.choice.cluster is not None
        server = project.choice.cluster.server
        for name in [name for name in server.namespaces() if name.startswith("rh-")]:
            project.choice.cluster.api.delete(NAMESPACES, name)
        return Finding.exact(Verdict.BROKEN, "nobody answered", 1.0, limit=2.0, unit="s", comparison="<=", samples=7)

    monkeypatch.setattr(Told, "judge", judge)


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.usefixtures("deleted_while_it_runs")
def test_namespace_that_vanishes_makes_it_inconclusive(project: Project, python: bool) -> None:
    if python:
        project.pytester.makepyfile(test_shop=PYTHON)
    else:
        project.experiment("shop", "objectives: [told: {}]\n")
    result = project.run("--cluster", "test_shop.py" if python else "experiments")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (record,) = project.record().experiments
    assert record.verdict is Verdict.INCONCLUSIVE
    assert f"namespace {record.namespace} was deleted during the experiment" in record.reason

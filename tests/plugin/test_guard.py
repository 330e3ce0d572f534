"""The guard's file in a project: read before anything, obeyed by experiment files and Python tests alike."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Project

KILL_ALL = "faults: [podKill: {selector: app=shop, count: all}]\nobjectives: [told: {}]\n"
PYTHON = """
from harness.faults.pod_kill import PodKill

def test_all(experiment, chaos):
    experiment.workload("workloads/shop")
    %s
    with chaos(PodKill(selector="app=shop", count="all")):
        pass
"""


def test_a_broken_guard_file_ends_the_session_before_anything(project: Project) -> None:
    (project.root / "resilience-guard.yaml").write_text("budgets: maybe\nmaxDuration: soon\n")
    project.experiment("one")
    result = project.run("--cluster", "experiments")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "resilience-guard.yaml:1: budgets" in result.stderr.str()
    assert "resilience-guard.yaml:2: maxDuration" in result.stderr.str()
    assert not project.touched


def test_what_the_guard_refuses_is_an_error_and_nothing_is_injected(project: Project) -> None:
    project.experiment("all", KILL_ALL)
    result = project.run("--cluster", "experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the guard refuses, nothing was injected: no healthy pod of*shop would be left*"])
    (record,) = project.record().experiments
    assert [fault.injected for fault in record.faults] == [None]


def test_an_experiment_that_says_so_may(project: Project) -> None:
    project.experiment("all", "safety: {lastReplica: allowed}\n" + KILL_ALL)
    project.run("--cluster", "experiments").assert_outcomes(passed=1)


def test_unless_the_guard_lets_nobody(project: Project) -> None:
    (project.root / "strict.yaml").write_text("lastReplica: spared\n")
    project.experiment("all", "safety: {lastReplica: allowed}\n" + KILL_ALL)
    result = project.run("--cluster", "--guard=strict.yaml", "experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the guard lets no experiment hit a workload's last healthy pod*"])


RECREATE = """\
faults: [badRollout: {of: deployment/shop, patch: {metadata: {annotations: {a: b}}}}]
objectives: [told: {}]
"""


@pytest.mark.parametrize("said", [False, True])
def test_a_rollout_that_takes_all_pods_at_once_must_say_so(project: Project, said: bool) -> None:
    manifest = project.root / "experiments/workloads/shop/deployment.yaml"
    project.experiment("all", ("safety: {lastReplica: allowed}\n" if said else "") + RECREATE)
    manifest.write_text(manifest.read_text().replace("replicas: 3", "replicas: 3\n  strategy: {type: Recreate}"))
    text = project.run("--cluster", "experiments").stdout.str()
    assert ("no healthy pod of" in text) is not said


@pytest.mark.parametrize("said", [False, True])
def test_python_tests_are_guarded_too(project: Project, said: bool) -> None:
    project.pytester.makepyfile(PYTHON % ('experiment.safety(last_replica="allowed")' if said else "pass"))
    result = project.run("--cluster")
    text = result.stdout.str()
    assert ("the guard refuses" in text) is not said

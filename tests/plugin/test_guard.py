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


def test_faults_on_the_last_replica_need_safety_in_the_file(project: Project) -> None:
    """Known without a cluster: the file, the line, and what to add."""
    project.experiment("all", KILL_ALL)
    result = project.run("--cluster", "experiments")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*experiments/all.yaml:7: faults: the guard refuses this: no healthy pod of all/deployment/shop would be "
            "left (3 of 3 hit): to permit this, add `safety: {lastReplica: allowed}` at the top level of the *"
        ]
    )
    assert not project.touched


CAPPED = "safety: {lastReplica: allowed}\n" + KILL_ALL


@pytest.mark.parametrize("option", [[], ["--cluster-strict"]])
def test_experiment_refused_by_the_guard_is_never_deployed(project: Project, option: list[str]) -> None:
    (project.root / "resilience-guard.yaml").write_text("caps: {workload: {count: 2}, namespace: {share: 10%}}\n")
    project.experiment("all", CAPPED)
    result = project.run("--cluster", "-rs", *option, "experiments")
    result.assert_outcomes(**({"errors": 1} if option else {"skipped": 1}))
    text = result.stdout.str().replace("\n", " ")
    assert "3 of 3 pods of rh-all-" in text
    assert "deployment/shop would be hit, and the guard allows 2" in text
    cluster = project.choice.cluster
    assert cluster is not None
    assert [call for call in cluster.server.calls if call.writes and "/namespaces/rh-" in call.path] == []


def test_faults_selecting_more_pods_than_exist_are_refused(project: Project) -> None:
    project.experiment("many", KILL_ALL.replace("count: all", "count: 9"))
    result = project.run("--cluster", "experiments")
    result.stdout.fnmatch_lines(["*many.yaml:7: faults*: cannot be injected: 9 wanted, 3 found: app=shop matches 3*"])
    assert not project.touched


def test_experiment_may_permit_hitting_the_last_replica(project: Project) -> None:
    project.experiment("all", "safety: {lastReplica: allowed}\n" + KILL_ALL)
    project.run("--cluster", "experiments").assert_outcomes(passed=1)


def test_strict_guard_overrides_the_experiment_permission(project: Project) -> None:
    (project.root / "strict.yaml").write_text("lastReplica: spared\n")
    project.experiment("all", "safety: {lastReplica: allowed}\n" + KILL_ALL)
    result = project.run("--cluster", "--guard=strict.yaml", "-rs", "experiments")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*the guard does not allow an experiment to hit a workload's last healthy pod*"])


RECREATE = """\
faults: [badRollout: {of: deployment/shop, patch: {metadata: {annotations: {a: b}}}}]
objectives: [told: {}]
"""


@pytest.mark.parametrize("said", [False, True])
def test_rollout_replacing_all_pods_at_once_needs_permission(project: Project, said: bool) -> None:
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

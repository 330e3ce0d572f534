"""Looking ahead: everything is told, nothing is changed, neither in the cluster nor in the report folder."""

from __future__ import annotations

from harness.cluster.protocol import Capability
from tests.plugin.conftest import Project

KILL = "faults: [podKill: {selector: app=shop, count: 2, gracePeriod: 0s}]\nobjectives: [told: {}]\n"


def _nothing_changed(project: Project) -> None:
    cluster = project.choice.cluster
    assert cluster is not None
    assert [call for call in cluster.server.calls if call.writes] == []
    assert len(cluster.server.calls) > 5, "it did look"
    assert not (project.root / "reports").exists()


def test_the_plan_tells_victims_calls_and_undo_and_changes_nothing(project: Project) -> None:
    project.experiment("kill", KILL)
    result = project.run("--cluster", "--plan", "--resilience-seed=7", "experiments")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*plan of kill",
            "*make namespace rh-kill-*, deleted at the end",
            "*apply deployment/shop, service/shop",
            "*phases, at most 1.15 s: *",
            "*fault podKill selector: app=shop, count: 2*",
            "*victim: pod/shop-…(number * of 3)*",
            "*call: apply configmaps/undo-*in resilience-system*",
            "*call: delete pods/shop-…(number * of 3) in rh-kill-*, grace period 0 s",
            "*undo: kill shop-…*: nothing to put back*",
            "*guess: pods of a Deployment get their names when they are made*",
        ]
    )
    _nothing_changed(project)


def test_the_planned_victims_are_those_of_the_run(project: Project) -> None:
    """The same seed chooses the same ranks: the run's victims stand where the plan said among the sorted names."""
    project.experiment("kill", KILL.replace("count: 2", "count: 1"))
    planned = project.run("--cluster", "--plan", "--resilience-seed=7", "experiments").stdout.str()
    project.run("--cluster", "--resilience-seed=7", "--cluster-keep=always", "experiments").assert_outcomes(passed=1)
    victim = project.record().experiments[0].faults[0].victims[0].name
    cluster = project.choice.cluster
    assert cluster is not None
    names = {
        change.object["metadata"]["name"]
        for change in cluster.server.store.history
        if change.resource.plural == "pods" and change.type == "ADDED"
    }
    rank = sorted(names)[:3].index(victim) + 1
    assert f"victim: pod/shop-…(number {rank} of 3)" in planned


def test_what_stands_against_it_is_told(project: Project) -> None:
    project.experiment("all", KILL.replace("count: 2", "count: all"))
    project.choice.lacks = frozenset({Capability.LOAD_BALANCED_SERVICE})
    (project.root / "resilience-guard.yaml").write_text("maxDuration: 1s\n")
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(
        ["*it would not be carried out:", "*it may take 1.15 s*", "*no healthy pod of *deployment/shop would be left*"]
    )
    _nothing_changed(project)


def test_twins_have_plans_of_their_own(project: Project) -> None:
    text = "twins: {one: {because: x, patch: {deployment/shop: {spec: {replicas: 1}}}, breaks: [told]}}\n"
    project.experiment("kill", KILL.replace("count: 2", "count: 1") + text)
    result = project.run("--cluster", "--plan", "--twins", "experiments")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*plan of kill", "*plan of kill[[]one[]]", "*(number 1 of 1)*"])


def test_python_tests_cannot_be_planned(project: Project) -> None:
    project.pytester.makepyfile("def test_x(experiment): experiment.workload('workloads/shop')")
    result = project.run("--cluster", "--plan")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*its steps are code, which cannot be planned"])
    cluster = project.choice.cluster
    assert cluster is not None
    assert [call for call in cluster.server.calls if call.writes] == []


def test_a_choice_that_cannot_be_made_is_told(project: Project) -> None:
    project.experiment("kill", KILL.replace("count: 2", "count: 9"))
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(["*cannot be told before the workload runs: 9 wanted, 3 found*"])
    _nothing_changed(project)

"""Looking ahead: everything is told, nothing is changed, neither in the cluster nor in the report folder."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.protocol import Capability
from tests.fake_run import controlled_cluster
from tests.fake_world import machine
from tests.plugin.conftest import Project

KILL = "faults: [podKill: {selector: app=shop, count: 2, gracePeriod: 0s}]\nobjectives: [told: {}]\n"


def _nothing_changed(project: Project) -> None:
    cluster = project.choice.cluster
    assert cluster is not None
    assert [call for call in cluster.server.calls if call.writes] == []
    assert len(cluster.server.calls) > 5, "it did look"
    assert not (project.root / "reports").exists()


def test_plan_shows_victims_calls_and_undo_and_changes_nothing(project: Project) -> None:
    project.experiment("kill", KILL)
    result = project.run("--cluster", "--plan", "--resilience-seed=7", "experiments")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*plan of kill",
            "*on owned cluster fake",
            "*create namespace rh-kill-*, deleted at the end",
            "*apply deployment/shop, service/shop",
            "*phases, at most 1.15 s: *",
            "*fault podKill selector: app=shop, count: 2*",
            "*victim: pod/shop-…(number * of 3)*",
            "*call: apply configmaps/undo-*in resilience-system*",
            "*call: delete pods/shop-…(number * of 3) in rh-kill-*, grace period 0 s",
            "*undo: kill shop-…*: nothing to undo, replacing a deleted pod is up to its controller (deployment/shop)*",
            "*guess: pod names are random*",
        ]
    )
    _nothing_changed(project)


def test_plan_shows_the_times_of_composed_faults(project: Project) -> None:
    faults = "faults: [{podKill: {selector: app=shop}, at: 10ms, every: 20ms, times: 2}]\n"
    project.experiment("kills", faults + "objectives: [told: {}]\n")
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(["*fault podKill selector: app=shop", "*time: at 10 ms, every 20 ms, 2 times"])
    _nothing_changed(project)


def test_plan_shows_the_scaled_load(project: Project) -> None:
    project.experiment("kill", "load: {rate: 40/s, target: service/shop}\n" + KILL)
    result = project.run("--cluster", "--plan", "--load-scale=0.25", "experiments")
    result.stdout.fnmatch_lines(
        ["*the rate of every load × 0.25*", "*load: http to *: at most 10/s for * (scaled by 0.25)*"]
    )
    _nothing_changed(project)


def test_plan_shows_several_loads(project: Project) -> None:
    loads = "loads: {a: {rate: 4/s, target: service/shop}, b: {rate: 2/s, profile: step, target: service/shop}}\n"
    project.experiment("kill", loads + KILL)
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(["*load a: http to *at most 4/s*", "*load b: http to *profile step: at most 2/s*"])
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


def test_reasons_against_the_run_are_listed(project: Project) -> None:
    project.experiment("all", "safety: {lastReplica: allowed}\n" + KILL.replace("count: 2", "count: all"))
    project.choice.lacks = frozenset({Capability.LOAD_BALANCED_SERVICE})
    guard = "maxDuration: 1s\nlastReplica: spared\ncaps: {workload: {count: 2}}\n"
    (project.root / "resilience-guard.yaml").write_text(guard)
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(
        [
            "*this experiment would not run:",
            "*it may take 1.15 s*",
            "*the guard does not allow an experiment to hit a workload's last healthy pod",
            "*3 of 3 pods of *deployment/shop would be hit, and the guard allows 2",
        ]
    )
    _nothing_changed(project)


ORDINARY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all}
spec: {podSelector: {}}
---
apiVersion: example.org/v1
kind: Gateway
metadata: {name: front}
spec: {anything: [1, 2]}
---
apiVersion: v1
kind: Pod
metadata: {name: bare}
spec: {containers: [{name: main, image: main}]}
"""


def test_a_workload_of_any_kind_is_planned(project: Project) -> None:
    project.experiment("kill", KILL)
    (project.root / "experiments" / "workloads" / "shop" / "more.yaml").write_text(ORDINARY)
    result = project.run("--cluster", "--plan", "experiments")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*wait until the workload is ready, at most 120 s (120 s for any workload, *",
            "*victim: pod/shop-…(number * of 3)*",
            "*the cluster has no Gateway in example.org/v1: install its CustomResourceDefinition*",
        ]
    )
    _nothing_changed(project)


def test_twins_have_separate_plans(project: Project) -> None:
    text = "because: x, patch: {deployment/shop: {spec: {replicas: 1}}}, breaks: [told], safety: {lastReplica: allowed}"
    text = f"twins: {{one: {{{text}}}}}\n"
    project.experiment("kill", KILL.replace("count: 2", "count: 1") + text)
    result = project.run("--cluster", "--plan", "--twins", "experiments")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*plan of kill", "*plan of kill[[]one[]]", "*(number 1 of 1)*"])


def test_python_tests_cannot_be_planned(project: Project) -> None:
    project.pytester.makepyfile("def test_x(experiment): experiment.workload('workloads/shop')")
    result = project.run("--cluster", "--plan")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*a dry run cannot plan the steps of a Python test"])
    cluster = project.choice.cluster
    assert cluster is not None
    assert [call for call in cluster.server.calls if call.writes] == []


def test_impossible_selection_is_reported(project: Project) -> None:
    project.experiment("kill", KILL.replace("count: 2", "count: 9, where: [leader]"))
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(["*unknown until the workload runs: 9 wanted, 3 found*"])
    _nothing_changed(project)


def test_plan_shows_the_samples_that_each_bound_needs(project: Project) -> None:
    load = "load: {target: service/shop, rate: 50/s}\n"
    project.experiment("kill", load + KILL.replace("told: {}", "availability: {min: 99%, phases: [settle]}"))
    result = project.run("--cluster", "--plan", "experiments")
    result.stdout.fnmatch_lines(["*objective availability: availability at least 99%, needs 299 requests without *"])


def test_plan_shows_a_call_that_is_tried_again_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_a_node(*given: Any, **more: Any) -> FakeCluster:
        made = controlled_cluster(*given, **more)
        node = machine("node-1")
        versions = ("kubeletVersion", "osImage", "kernelVersion", "containerRuntimeVersion")
        node["status"]["nodeInfo"] = dict.fromkeys(versions, "1")
        made.server.seed(node)
        return made

    monkeypatch.setattr("tests.fake_plugin.controlled_cluster", with_a_node)
    budget = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: keep}\n"
    text = budget + "spec: {maxUnavailable: 1, selector: {matchLabels: {app: shop}}}\n"
    (project.root / "experiments" / "workloads" / "shop" / "budget.yaml").write_text(text)
    drain = KILL.replace("podKill: {selector: app=shop, count: 2, gracePeriod: 0s}", "drain: {hosting: app=shop}")
    project.experiment("drained", "disruptive: true\nsafety: {lastReplica: allowed}\n" + drain)
    result = project.run("--cluster", "--plan", "--allow-disruptive", "experiments")
    evictions = [line for line in result.outlines if "/eviction" in line]
    assert len(evictions) == 3, "the first of three pods, the other two in turn"

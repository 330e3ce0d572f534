"""``--mutate``: every mutant of an experiment that holds is caught, survives, is undecided, or is not judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError
from harness.common.progress import Progress
from harness.engine.choose_cluster import Chosen, ClusterRequest
from harness.faults.base import FaultContext
from harness.model.finding import Finding
from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from harness.results.mutation_record import MutantRecord
from tests.fake_plugin import Mark, ReplicasTold
from tests.fake_world import deployment
from tests.plugin.conftest import HANGS, Project
from tests.plugin.test_verdicts import TWINS
from tests.plugin.test_xdist import PRINTS_ORDER

# Held with three replicas, so that the mutant with one replica is BROKEN.
REPLICAS = "faults: [mark: {}]\nobjectives: [replicasTold: {}, told: {}]\n"
TWO = "--mutate=replicas-1,grace-period-0"


def outcomes(project: Project) -> dict[str, MutantRecord]:
    """Return the stored outcomes by operator."""
    found = project.record().mutation
    assert found is not None
    return {each.operator: each for one in found.experiments for each in one.mutants}


def test_mutants_are_caught_survive_or_are_left_out(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", "--mutate", "experiments/shop.yaml")
    assert result.ret == pytest.ExitCode.OK
    found = outcomes(project)
    assert (found["replicas-1"].outcome, found["replicas-1"].caught_by) == ("caught", ["replicasTold"])
    assert found["grace-period-0"].outcome == "survived"
    assert found["grace-period-0"].reason == "nothing in this experiment notices that pods end without a grace period"
    hook = found["no-pre-stop-hook"]
    assert (hook.outcome, hook.reason) == ("not judged", "has no preStop hook")
    run = project.record()
    assert [record.name for record in run.experiments] == ["shop"]
    assert not run.skipped
    assert run.mutation is not None
    assert (run.mutation.caught, run.mutation.survived, run.mutation.undecided) == (1, 2, 0)
    result.stdout.fnmatch_lines(
        [
            "*HELD: 1 experiment held.*",
            "mutants of shop: *1 caught*",
            "*replicas-1 *caught *replicasTold*",
            "*grace-period-0 *survived *nothing in this experiment notices that pods end without a grace period*",
            "*not judged: no-pre-stop-hook: has no preStop hook*",
            "*mutation score 33%: 1 of 3 weaknesses caught*",
        ]
    )


@pytest.mark.parametrize(("least", "code"), [("50", 0), ("50.5%", 1)])
def test_score_below_the_required_one_fails_the_run(project: Project, least: str, code: int) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", TWO, f"--mutation-score={least}", "experiments/shop.yaml")
    assert result.ret == code
    found = project.record().mutation
    assert found is not None
    assert (found.score, found.missed) == (50, bool(code))


def test_mutants_are_shown_by_outcome_in_a_verbose_run(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", "-v", TWO, "experiments/shop.yaml")
    result.stdout.fnmatch_lines(
        ["*shop.yaml::shop?mutant replicas-1? CAUGHT*", "*shop.yaml::shop?mutant grace-period-0? SURVIVED*"]
    )
    result.stdout.fnmatch_lines(["*2 passed, 1 survived*"])


def test_inconclusive_mutant_is_undecided_and_no_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ReplicasTold.judge

    def unsure(self: ReplicasTold, *arguments: Any) -> Finding:
        found = judge(self, *arguments)
        return replace(found, verdict=Verdict.INCONCLUSIVE) if found.verdict is Verdict.BROKEN else found

    monkeypatch.setattr(ReplicasTold, "judge", unsure)
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", "--mutate=replicas-1", "experiments/shop.yaml")
    assert result.ret == pytest.ExitCode.OK
    assert outcomes(project)["replicas-1"].outcome == "undecided"
    result.stdout.fnmatch_lines(["*mutation score: no weakness was caught or survived, 1 undecided*"])


@pytest.mark.parametrize("says", ["BROKEN", "INCONCLUSIVE"])
def test_mutants_of_an_experiment_that_did_not_hold_are_skipped(project: Project, says: str) -> None:
    project.experiment("shop", f"objectives: [told: {{says: {says}}}]\n")
    result = project.run("--cluster", TWO, "experiments/shop.yaml")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert project.record().mutants == []
    assert {each.outcome for each in outcomes(project).values()} == {"not judged"}
    reason = f"its experiment did not hold in this run: {says}"
    result.stdout.fnmatch_lines([f"*not judged: replicas-1, grace-period-0: {reason}"])


def test_mutant_without_its_experiment_is_left_out(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", TWO, "-k", "grace", "experiments/shop.yaml")
    result.assert_outcomes(skipped=1, deselected=2)
    result.stdout.fnmatch_lines(["*its experiment is not selected*"])


def test_twin_with_the_same_workload_covers_a_mutant(project: Project) -> None:
    project.experiment("shop", TWINS)
    project.run("--cluster", "--twins", "--mutate=replicas-1", "-k", "not still and not wrong", "experiments/shop.yaml")
    found = outcomes(project)["replicas-1"]
    assert (found.outcome, found.twin, found.caught_by) == ("caught", "one-replica", ["replicasTold"])
    assert project.record().mutants == []


def test_weakness_that_is_caught_already_is_not_tried_again(project: Project) -> None:
    project.experiment("a-shop", REPLICAS)
    project.experiment("b-shop", "faults: [mark: {}]\nobjectives: [told: {}]\n")
    result = project.run("--cluster", TWO, "experiments")
    assert result.ret == pytest.ExitCode.OK
    run = project.record()
    assert [(each.name, each.mutant) for each in run.mutants] == [
        ("a-shop", "replicas-1"),
        ("a-shop", "grace-period-0"),
        ("b-shop", "grace-period-0"),
    ]
    result.stdout.fnmatch_lines(
        [
            "*not judged: replicas-1: already caught by a-shop",
            "survived: grace-period-0 of deployment/shop: nothing in these 2 experiments *: a-shop, b-shop",
            "mutation score 50%: 1 of 2 weaknesses caught*",
        ]
    )


def test_mutants_run_after_all_experiments(project: Project) -> None:
    project.experiment("a-shop", REPLICAS)
    project.experiment("b-shop", REPLICAS)
    result = project.run("--mutate=replicas-1", "--collect-only", "-q", "experiments")
    names = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert names == ["a-shop", "b-shop", "a-shop[mutant replicas-1]", "b-shop[mutant replicas-1]"]


def test_every_mutant_runs_on_request(project: Project) -> None:
    project.experiment("a-shop", REPLICAS)
    project.experiment("b-shop", "faults: [mark: {}]\nobjectives: [told: {}]\n")
    project.run("--cluster", "--mutate=replicas-1", "--mutate-every", "experiments")
    assert [each.name for each in project.record().mutants] == ["a-shop", "b-shop"]


def test_twin_of_another_experiment_can_have_caught_a_weakness(project: Project) -> None:
    project.experiment("a-shop", TWINS)
    project.experiment("b-shop", "faults: [mark: {}]\nobjectives: [told: {}]\n")
    project.run("--cluster", "--twins", "--mutate=replicas-1", "-k", "not still and not wrong", "experiments")
    assert project.record().mutants == []
    found = project.record().mutation
    assert found is not None
    assert [(each.outcome, each.caught_by) for each in found.weaknesses] == [("caught", ["a-shop"])]


def test_weakness_without_a_part_in_an_experiment_is_not_judged(project: Project) -> None:
    project.experiment("shop", "faults: []\nobjectives: [replicasTold: {}, told: {}]\n")
    project.run("--cluster", "--mutate=max-unavailable-100", "experiments/shop.yaml")
    found = outcomes(project)["max-unavailable-100"]
    assert (found.outcome, found.reason) == (
        "not judged",
        "none of its faults changes a workload, so that no rolling update runs",
    )


def test_twin_that_does_not_run_covers_nothing(project: Project) -> None:
    project.experiment("shop", TWINS)
    project.run("--cluster", "--mutate=replicas-1", "experiments/shop.yaml")
    found = outcomes(project)["replicas-1"]
    assert (found.outcome, found.twin) == ("caught", "")


def test_failed_undo_of_a_mutant_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = Mark.undo

    def undo_only_of_the_experiment(cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        return undo(cluster, {**parameters, "resists": "--mutant-" in parameters["namespace"]})

    monkeypatch.setattr(Mark, "undo", undo_only_of_the_experiment)
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", "--mutate=grace-period-0", "experiments/shop.yaml")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*UNDO FAILED: these effects are still in the cluster*", "*the mark resists*"])


def test_refused_request_leaves_a_mutant_undecided(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    inject = Mark.inject

    def refuse(self: Mark, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        inject(self, context, victims)
        if "--mutant-" in context.namespace:
            raise ApiError(422, "Invalid", "too weak")

    monkeypatch.setattr(Mark, "inject", refuse)
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", "--mutate=replicas-1", "experiments/shop.yaml")
    assert result.ret == pytest.ExitCode.OK
    found = outcomes(project)["replicas-1"]
    assert found.outcome == "undecided"
    assert "too weak" in found.reason


def test_dry_run_shows_mutants_and_what_is_left_out(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", "--plan", "--mutate=replicas-1,no-pre-stop-hook", "experiments/shop.yaml")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*plan of shop",
            "*plan of shop?mutant replicas-1?",
            "*create namespace rh-shop-*--mutant-replicas-1-*",
            "plan: 1 experiment would run",
            "mutants: 1 would run, 1 would not:",
            "  shop?mutant no-pre-stop-hook?: has no preStop hook",
        ]
    )
    assert not (project.root / "reports").exists()


def test_workers_run_mutants_after_shorter_experiments(project: Project) -> None:
    first, longer = project.experiment("first", REPLICAS), project.experiment("longer", REPLICAS)
    longer.write_text(longer.read_text().replace("settle: 50ms", "settle: 60ms"))
    mutate = "--mutate=grace-period-0"
    process = project.start("--cluster", "-p", "xdist", "-n", "1", mutate, "experiments", conftest=PRINTS_ORDER)
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    order = (project.root / "order.log").read_text().splitlines()
    assert order[:2] == [longer.stem, first.stem]
    assert sorted(order[2:]) == ["first[mutant grace-period-0]", "longer[mutant grace-period-0]"]


def test_workers_share_the_mutants(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    process = project.start("--cluster", "-p", "xdist", "-n", "2", TWO + ",no-spread", "experiments")
    text, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 0, text
    found = {operator: each.outcome for operator, each in outcomes(project).items()}
    assert found == {"replicas-1": "caught", "grace-period-0": "survived", "no-spread": "not judged"}
    assert "mutation score 50%: 1 of 2 weaknesses caught" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--mutate=no-readines"], "*--mutate: found 'no-readines', expected all or a list of no-readiness-probe, *"),
        (["--mutation-score=high"], "*--mutation-score: found 'high', expected a percentage from 0 to 100*"),
        (["--mutate", "--repeat=20"], "*--mutate: found it with --repeat=20, expected one of them*"),
    ],
)
def test_bad_options_give_one_clear_error(project: Project, given: list[str], message: str) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--cluster", *given, "experiments/shop.yaml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert not project.touched


def test_game_day_refuses_mutants(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    project.pytester.path.joinpath("experiments", "day.yaml").write_text(
        "apiVersion: resilience/v1\nkind: GameDay\nmetadata: {name: day}\nhypothesis: Everything holds on one day.\n"
        "experiments: {paths: [shop.yaml]}\n"
    )
    result = project.run("--cluster", "--mutate", "experiments/day.yaml")
    result.stdout.fnmatch_lines(["*--mutate: found it with a game day, expected one of them*"])
    assert not project.touched


def test_existing_namespace_has_no_mutants(project: Project) -> None:
    file = project.experiment("shop", REPLICAS)
    text = file.read_text().replace("workload: workloads/shop", "workload: {existing: {namespace: live}}")
    file.write_text(text.replace("[mark: {}]", "[]"))
    result = project.run("--cluster", "--plan", "--mutate=replicas-1", "experiments/shop.yaml")
    result.stdout.fnmatch_lines(["  shop?mutant replicas-1?: runs in the existing namespace live, whose objects are *"])


def test_mutants_of_a_copy_are_known_once_it_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(target: ClusterRequest, progress: Progress) -> Chosen:
        chosen = project.choice.choose(target, progress)
        assert project.choice.cluster is not None
        project.choice.cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "live"}})
        chosen.cluster.api.apply(deployment("shop"), "live")
        return chosen

    monkeypatch.setattr("harness.pytest_plugin.session.choose", choose)
    file = project.experiment("shop", TWINS)
    file.write_text(file.read_text().replace("workload: workloads/shop", "workload: {copyOf: {namespace: live}}"))
    chosen = "--mutate=replicas-1,grace-period-0,no-spread"
    project.run("--cluster", "--twins", chosen, "experiments/shop.yaml")
    found = {operator: (each.outcome, each.twin) for operator, each in outcomes(project).items()}
    assert found == {
        "replicas-1": ("caught", "one-replica"),
        "grace-period-0": ("survived", ""),
        "no-spread": ("not judged", ""),
    }


def test_bare_option_does_not_take_the_path(project: Project) -> None:
    project.experiment("shop", REPLICAS)
    result = project.run("--mutate", "experiments/shop.yaml", "--collect-only", "-q", "-m", "mutant")
    names = [line for line in result.outlines if "::" in line]
    assert names[0] == "experiments/shop.yaml::shop[mutant no-readiness-probe]"
    assert len(names) == 13

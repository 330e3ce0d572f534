"""Experiment files: everything that is wrong, at once, with its line, before any cluster is asked anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.common.errors import InputError
from harness.experiment.declaration import Experiment
from harness.experiment.loading import load_experiment
from harness.experiment.sources import Sources
from tests.fake_run import EXPERIMENT, write_project, write_workload

LOADED = EXPERIMENT.replace("phases:", 'load: {profile: steady, rate: 50/s, target: "service/shop:http"}\nphases:')
PROMETHEUS = "objectives:\n  - prometheus: {name: up, value: up, min: 1}\n"


def load(root: Path, text: str) -> Experiment:
    return load_experiment(write_project(root, text), Sources.for_root(root))


def problems(root: Path, text: str) -> list[str]:
    """What is wrong, without the folder's name."""
    with pytest.raises(InputError) as caught:
        load(root, text)
    return [str(problem).replace(f"{root}/experiments/", "") for problem in caught.value.problems]


def test_a_good_file_is_an_experiment(tmp_path: Path) -> None:
    found = load(tmp_path, LOADED)
    assert (found.name, len(found.faults), found.phases.fault.at_most) == ("one-killed", 1, 2.0)
    twin = found.as_twin("one-replica")
    shop, own = twin.workload.find("deployment/shop"), found.workload.find("deployment/shop")
    assert shop is not None
    assert own is not None
    assert (shop["spec"]["replicas"], own["spec"]["replicas"]) == (1, 3)
    assert (twin.title, twin.breaks) == ("one-killed[one-replica]", ("recoveryTime",))


@pytest.mark.parametrize(
    ("old", "new", "place", "told"),
    [
        ("hypothesis:", "hypothsis:", "4: hypothsis", "unknown key"),
        ("count: 1", "cuont: 1", "8: faults[0].podKill.cuont", "unknown key"),
        ("podKill:", "podKil:", "8: faults[0].podKil", "unknown kind, did you mean podKill? Expected one of: "),
        ("recoveryTime: {of", "recoveryTim: {of", "10: objectives[0].recoveryTim", "unknown kind"),
        ("selector: app=shop", "selector: app=shp", "8: faults[0].podKill.selector", "no pod of the workload"),
        (
            "podKill: {selector: app=shop, count: 1}",
            "nodeStop: {hosting: app=shp}",
            "8: faults[0].nodeStop.hosting",
            "no pod of the workload",
        ),
        (
            "podKill: {selector: app=shop, count: 1}",
            "nodeStop: {hosting: app=shop}",
            "8: faults[0].nodeStop",
            "hits more than the experiment's own namespace: expected disruptive: true at the top level",
        ),
        (
            "podKill: {selector: app=shop, count: 1}",
            "metricsOutage: {of: hpa/shop}",
            "8: faults[0].metricsOutage",
            "every autoscaler of the cluster: expected safety: {metricsApi: allowed} at the top level",
        ),
        (
            "podKill: {selector: app=shop, count: 1}",
            "metricsOutage: {of: hpa/shop, servedBy: service/late}",
            "8: faults[0].metricsOutage.servedBy",
            "found service/late, but the workload has only",
        ),
        ("of: deployment/shop", "of: deployment/shp", "10: objectives[0].recoveryTime.of", "the workload has only"),
        ("workload: workloads/shop", "workload: workloads/shp", "5: workload", "expected a folder of manifests"),
        ("baseline: 1s", "baseline: soon", "6: phases.baseline", "expected a duration"),
        ("baseline: 1s", "baseline: true", "6: phases.baseline", "found true"),
        ("baseline: 1s", "baseline: .inf", "6: phases.baseline", "finite"),
        ("max: 10s", "max: 0s", "10: objectives[0].recoveryTime.max", "longer than 0 s"),
        ("breaks: [recoveryTime]", "breaks: [latency]", "16: twins.one-replica.breaks", "one of the objectives"),
        ("{replicas: 1}", "{replicas: 3}", "14: twins.one-replica.patch.deployment/shop", "has no effect"),
        ("deployment/shop: {spec", "deployment/shp: {spec", "14: twins.one-replica.patch.deployment/shp", "has only"),
        ("{spec: {replicas: 1}}", "{spec: none}", "14: twins.one-replica.patch.deployment/shop.spec", "found 'none'"),
        ("{name: one-killed}", "{name: One}", "3: metadata.name", "found 'One'"),
        ("resilience/v1", "resilience/v9", "1: apiVersion", "'resilience/v1'"),
    ],
)  # fmt: skip
def test_one_mistake(tmp_path: Path, old: str, new: str, place: str, told: str) -> None:
    assert old in EXPERIMENT
    found = problems(tmp_path, EXPERIMENT.replace(old, new))
    assert any(problem.startswith(f"one-killed.yaml:{place}: ") and told in problem for problem in found), found


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("profile: steady", "profile: stedy", "load.profile: found the load profile 'stedy', expected one of: "),
        ("profile: steady", "profile: ../steady", "load.profile: found the load profile '../steady'"),
        ("rate: 50/s", "rate: 50/s, behaviour: htp", "load.behaviour: found the load behaviour 'htp'"),
        ("rate: 50/s", "rate: 50/s, options: {pth: /}", "unknown option of the load behaviour http"),
        ("rate: 50/s", "rate: 0/s", "load.rate: "),
        ("service/shop:http", "service/shp:http", "load.target: found service/shp:http, but the workload"),
        ("service/shop:http", "service/shop:web", "load.target: found port web, expected one of http, 80 of Service"),
    ],
)  # fmt: skip
def test_mistakes_about_the_load(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = problems(tmp_path, LOADED.replace(old, new))
    assert any(problem.startswith("one-killed.yaml:6: ") and told in problem for problem in found), found


def test_all_mistakes_are_listed_with_their_lines(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("faults:", "extra: 1\nfaults:\n  - text").replace("count: 1", "count: 0")
    text = text.replace("max: 10s", "max: soon").replace("baseline: 1s", "baseline: -1s")
    starts = [problem.split(": ")[0:2] for problem in problems(tmp_path, text)]
    assert sorted(starts) == [
        ["one-killed.yaml:10", "faults[1].podKill.count"],
        ["one-killed.yaml:12", "objectives[0].recoveryTime.max"],
        ["one-killed.yaml:6", "phases.baseline"],
        ["one-killed.yaml:7", "extra"],
        ["one-killed.yaml:9", "faults[0]"],
    ]


@pytest.mark.parametrize(
    "name", ["../../outside", "/etc", "workloads/../../outside", "workloads/link", "a\\0b", "x" * 5000, "builtin/../.."]
)
def test_no_workload_leads_out_of_the_project(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    write_workload(tmp_path / "other")
    (tmp_path / "other" / "experiments" / "workloads" / "shop").rename(outside)
    write_workload(tmp_path)
    (tmp_path / "experiments" / "workloads" / "link").symlink_to(outside)
    (problem,) = problems(tmp_path, EXPERIMENT.replace("workloads/shop", f'"{name}"'))
    assert problem.startswith("one-killed.yaml:5: workload: found ")


def test_no_manifest_leads_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n")
    (write_workload(tmp_path) / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    assert problems(tmp_path, EXPERIMENT) == [
        "workloads/shop/link.yaml: is a link to a file outside the workload's folder"
    ]


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ("kind: Pod\nmetadata: {name: a}\n", "1: apiVersion: missing, and it is required"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: B_}\n", "3: metadata.namespace: found 'B_'"),
        ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: 80\n", "5: spec.ports: found 80"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: []\n", "4: spec: found []"),
        (EXPERIMENT, "1: apiVersion: found 'resilience/v1', which is a file for the harness"),
        ("- a\n", "1: found a list, expected a Kubernetes object"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  image: ${image:nginx}\n", "5: spec.image: found"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  image: ${image podinfo}\n", "5: spec.image: found"),
    ],
)  # fmt: skip
def test_mistakes_in_manifests_have_their_own_file_and_line(tmp_path: Path, manifest: str, told: str) -> None:
    (write_workload(tmp_path) / "more.yaml").write_text(manifest)
    found = problems(tmp_path, EXPERIMENT)
    assert any(problem.startswith(f"workloads/shop/more.yaml:{told}") for problem in found), found


def test_unknown_image_in_a_fault_is_reported(tmp_path: Path) -> None:
    fault = "badRollout: {of: deployment/shop, image: '${image:nothing}'}"
    (problem,) = problems(tmp_path, EXPERIMENT.replace("podKill: {selector: app=shop, count: 1}", fault))
    assert problem.startswith("one-killed.yaml:8: faults[0].badRollout.image: found the image nothing, expected one of")


def test_window_with_too_few_scrapes_is_reported(tmp_path: Path) -> None:
    text = EXPERIMENT.partition("objectives:")[0] + PROMETHEUS
    found = problems(tmp_path, text)
    assert [problem.partition(", expected")[0] for problem in found] == [
        "one-killed.yaml:10: objectives[0].prometheus: up is evaluated over baseline, which takes 1 s",
        "one-killed.yaml:10: objectives[0].prometheus: up is evaluated over fault, which takes 2 s",
        "one-killed.yaml:10: objectives[0].prometheus: up is evaluated over settle, which takes 1 s",
    ]
    enough = text.replace(
        "{baseline: 1s, fault: 2s, recovery: 5s, settle: 1s}", "{baseline: 4s, fault: 4s, settle: 4s}"
    )
    assert load(tmp_path, enough).phases.settle == 4.0


def test_query_reaching_before_the_phase_is_reported_with_line(tmp_path: Path) -> None:
    text = EXPERIMENT.partition("objectives:")[0].replace("1s", "10s").replace("2s", "10s")
    text += """objectives:
  - prometheus:
      name: served
      good: sum(increase(good[$window]))
      total: sum(increase(hits[5m]))
      min: 99%
  - prometheus: {name: queue, value: "max_over_time(queue[30s])", max: 3}
  - prometheus: {name: rate, value: "sum(rate(hits[2s]))", max: 3, reducer: max}
  - prometheus: {name: slow, value: "sum(rate(hits[8s]))", max: 3, reducer: max}
  - prometheus: {name: fits, value: "sum(rate(hits[5s]))", max: 3, reducer: max}
"""
    assert [problem.partition(":")[2] for problem in problems(tmp_path, text)] == [
        "13: objectives[0].prometheus.total: found the range [5m], expected [$window]: "
        "any other range does not match the phase",
        "15: objectives[1].prometheus.value: found the range [30s], expected [$window]: "
        "any other range does not match the phase",
        "16: objectives[2].prometheus.value: found the range [2s], expected at least 4 s: 4 scrapes",
        "17: objectives[3].prometheus.value: found ranges that look back 8 s, expected at most 6 s: "
        "at least 4 scrapes of a phase of 10 s must remain",
    ]


def test_ratio_of_raw_counters_is_reported_with_its_line(tmp_path: Path) -> None:
    text = EXPERIMENT.partition("objectives:")[0].replace("1s", "10s").replace("2s", "10s")
    text += """objectives:
  - prometheus:
      name: served
      good: sum(hits_total{code="200"})
      total: sum(increase(hits_total[$window]))
      min: 99%
  - prometheus: {name: restarts, value: "max(restarts_total)", max: 3}
"""
    (problem,) = problems(tmp_path, text)
    assert problem == (
        "one-killed.yaml:12: objectives[0].prometheus.good: found the raw counter hits_total, which counts from "
        "the start of its process, not within the phase; expected a rate or an increase of it, such as "
        "increase(hits_total[$window])"
    )


def test_two_promql_objectives_need_two_names(tmp_path: Path) -> None:
    text = EXPERIMENT.partition("objectives:")[0].replace("1s", "5s").replace("2s", "5s") + PROMETHEUS
    (problem,) = problems(tmp_path, text + PROMETHEUS.partition("\n")[2])
    assert problem == "one-killed.yaml:11: objectives[1].prometheus.name: found 'up' twice, expected unique names"


def test_a_file_that_is_no_mapping(tmp_path: Path) -> None:
    assert problems(tmp_path, "- 1\n")[0].startswith("one-killed.yaml:1: ")
    assert problems(tmp_path, "") == ["one-killed.yaml: found 0 YAML documents, expected one"]


def test_cluster_wide_object_is_refused_before_connecting(tmp_path: Path) -> None:
    write_project(tmp_path, EXPERIMENT)
    hook = "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: all}\n"
    (tmp_path / "experiments" / "workloads" / "shop" / "hook.yaml").write_text(hook)
    (told,) = problems(tmp_path, EXPERIMENT)
    assert told.startswith("workloads/shop/hook.yaml:2: kind: found validatingwebhookconfiguration/all")
    load(tmp_path, EXPERIMENT.replace("workload:", "disruptive: true\nworkload:"))


def test_invalid_objective_moves_no_other_problem(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("objectives:\n", "objectives:\n  - availability: {min: 99}\n")
    text = text.replace("recoveryTime: {of: deployment/shop", "recoveryTime: {of: deployment/shops")
    found = [problem.split(": ")[0] + ": " + problem.split(": ")[1] for problem in problems(tmp_path, text)]
    assert found == [
        "one-killed.yaml:10: objectives[0].availability.min",
        "one-killed.yaml:11: objectives[1].recoveryTime.of",
    ]


def test_twin_may_break_an_objective_that_could_not_be_read(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("objectives:\n", "objectives:\n  - availability: {min: 99}\n")
    text = text.replace("breaks: [recoveryTime]", "breaks: [availability]")
    (problem,) = problems(tmp_path, text)
    assert "objectives[0].availability.min" in problem


def test_abort_conditions_of_one_name_are_refused(tmp_path: Path) -> None:
    condition = "{name: errors, query: up, above: 1}"
    text = EXPERIMENT.replace("faults:\n", f"abort: [{condition}, {condition}]\nfaults:\n")
    (found,) = problems(tmp_path, text)
    assert found.endswith("abort: found the name 'errors' twice, expected unique names")


SCALED = """\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: shop}
spec: {scaleTargetRef: {name: shop}, maxReplicaCount: 4, triggers: [{type: cron, metadata: {}}]}
"""


def test_objective_may_name_the_autoscaler_that_keda_makes(tmp_path: Path) -> None:
    (write_workload(tmp_path) / "scaled.yaml").write_text(SCALED)
    text = EXPERIMENT.replace("objectives:\n", "objectives:\n  - scaleOut: {of: hpa/keda-hpa-shop}\n")
    assert [each.kind for each in load(tmp_path, text).objectives] == ["scaleOut", "recoveryTime"]
    (told,) = problems(tmp_path, text.replace("keda-hpa-shop", "shop"))
    assert "found hpa/shop, but the workload has only" in told
    assert told.endswith("service/shop, hpa/keda-hpa-shop")

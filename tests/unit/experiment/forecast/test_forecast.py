"""What is certain before anything is deployed: refusals and impossible choices, and nothing that only might be so."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.common.errors import InputError
from harness.experiment.forecast.forecast import Forecast, forecast
from harness.experiment.loading import load_experiment
from harness.experiment.manifests import Workload
from harness.experiment.sources import Sources
from harness.faults.bad_rollout import BadRollout
from harness.faults.base import Fault
from harness.faults.container_kill import ContainerKill
from harness.faults.node_stop import NodeStop
from harness.faults.pod_evict import PodEvict
from harness.faults.pod_kill import PodKill
from harness.faults.scale import Scale
from harness.safety.guard.policy import Policy
from harness.safety.guard.safety import Cap, Caps, Safety
from tests.fake_run import EXPERIMENT, write_project, write_workload

LABELS = {"app": "web"}


def _owner(kind: str, name: str = "web", api_version: str = "apps/v1", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "a:1"}]}}
    whole = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": whole}


def _budget(name: str, **spec: Any) -> dict[str, Any]:
    whole = {"selector": {"matchLabels": LABELS}, **spec}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": whole}


def _forecast(
    objects: list[dict[str, Any]],
    *faults: Fault,
    safety: Safety | None = None,
    policy: Policy | None = None,
    rng: Callable[[], random.Random] | None = None,
) -> Forecast:
    workload = Workload(Path(), tuple(objects), ())
    return forecast(workload, faults, safety or Safety(), policy or Policy(), namespace="rh", rng=rng)


def _kill(count: int | str = 1, selector: str = "app=web", **fields: Any) -> PodKill:
    return PodKill(selector=selector, count=count, **fields)


def test_forecast_allows_killing_one_of_several_pods() -> None:
    assert _forecast([_owner("Deployment", replicas=3)], _kill()) == Forecast()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "ReplicaSet"])
def test_last_replica_is_refused_unless_permitted(kind: str) -> None:
    objects = [_owner(kind, replicas=1)]
    (text,) = _forecast(objects, _kill()).refused
    assert text.startswith(f"no healthy pod of rh/{kind.lower()}/web would be left (1 of 1 hit): to permit this, add")
    assert _forecast(objects, _kill(), safety=Safety(last_replica="allowed")) == Forecast()


def test_count_above_the_replicas_is_impossible() -> None:
    found = _forecast([_owner("Deployment", replicas=3)], _kill(), _kill(9))
    assert list(found.impossible) == [1]
    assert found.impossible[1].startswith("9 wanted, 3 found: app=web matches 3")


def test_scaling_that_changes_nothing_is_impossible() -> None:
    found = _forecast([_owner("Deployment", replicas=3)], Scale(of="deployment/web", replicas=3))
    assert "deployment/web already has 3 replicas" in found.impossible[0]


@pytest.mark.parametrize(
    "fault",
    [Scale(of="deployment/web", replicas=0), BadRollout(of="deployment/web", image="b:1")],
    ids=["scale", "rollout"],
)
def test_changes_of_a_workload_that_take_all_pods_are_refused(fault: Fault) -> None:
    (text,) = _forecast([_owner("Deployment", replicas=2, strategy={"type": "Recreate"})], fault).refused
    assert "no healthy pod of rh/deployment/web would be left" in text


def test_job_that_would_not_replace_its_pod_is_refused() -> None:
    job = _owner("Job", api_version="batch/v1", backoffLimit=0)
    del job["spec"]["selector"]
    found = _forecast([job], _kill(), safety=Safety(last_replica="allowed")).refused
    assert found == (
        "pod/web-… would not be replaced: job/web has backoffLimit 0, which 0 failed and 1 killed pods exceed",
    )


def test_pod_without_a_controller_is_refused() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": LABELS}}
    (text,) = _forecast([pod | {"spec": {"containers": [{"name": "main", "image": "a:1"}]}}], _kill()).refused
    assert "has no controller: nothing would replace it" in text


@pytest.mark.parametrize(
    ("spec", "count", "refused"),
    [
        ({"maxUnavailable": 1}, 1, False),
        ({"maxUnavailable": 1}, 2, True),
        ({"minAvailable": "50%"}, 2, True),
        ({"minAvailable": "50%"}, 1, False),
        ({"maxUnavailable": "34%"}, 2, False),
        ({"maxUnavailable": "34%"}, 3, True),
        ({"maxUnavailable": 0}, 1, True),
        ({}, 1, True),
        ({"maxUnavailable": 0, "selector": None}, 2, False),
        ({"maxUnavailable": 0, "selector": {}}, 1, True),
    ],
)
def test_budgets_allow_what_their_controller_would(spec: dict[str, Any], count: int, refused: bool) -> None:
    """Percentages are rounded up, of minAvailable and of maxUnavailable: of three pods 50% are 2, and 34% are 2."""
    found = _forecast(
        [_budget("web", **spec), _owner("Deployment", replicas=3)], _kill(count), safety=Safety(last_replica="allowed")
    )
    assert bool(found.refused) is refused
    assert all("poddisruptionbudget/web in rh allows" in text for text in found.refused)


def test_two_budgets_on_a_pod_that_is_evicted_are_named() -> None:
    budgets = [_budget("all", selector={}, maxUnavailable=2), _budget("web", maxUnavailable=2)]
    objects = [_owner("Deployment", replicas=3), *budgets]
    (text,) = _forecast(objects, PodEvict(selector="app=web")).refused
    assert text.startswith(
        "pod/web-… in rh cannot be evicted: poddisruptionbudget/all and poddisruptionbudget/web both"
    )


def _scaler(kind: str = "HorizontalPodAutoscaler", api_version: str = "autoscaling/v2") -> dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 9},
    }


def _initialized() -> dict[str, Any]:
    owner = _owner("Deployment")
    owner["spec"]["template"]["spec"]["initContainers"] = [{"name": "init", "image": "a:1"}]
    return owner


@pytest.mark.parametrize(
    ("objects", "fault"),
    [
        ([_owner("Deployment", replicas=1), _scaler()], _kill(2)),
        ([_owner("Deployment", replicas=1), _scaler("ScaledObject", "keda.sh/v1alpha1")], _kill(2)),
        ([_owner("Deployment"), {**_owner("Cache", "db", "example.org/v1")}], _kill(2)),
        ([_owner("DaemonSet")], _kill(2)),
        ([_initialized()], ContainerKill(selector="app=web", container="init")),
        ([_owner("StatefulSet", replicas=1)], _kill(2, where=["is-leader"])),
        ([_owner("StatefulSet")], _kill(selector="apps.kubernetes.io/pod-index=0")),
        ([_owner("Deployment")], _kill(selector="app=web,role=leader")),
        ([_owner("Deployment")], NodeStop(hosting="app=web")),
        ([_owner("Deployment", replicas=100_000)], _kill("all")),
        ([_owner("Deployment", replicas="two")], _kill(3)),
        ([_owner("Deployment", template=None)], _kill(3)),
        ([{**_owner("Deployment"), "spec": None}], Scale(of="deployment/web", replicas=0)),
    ],
    ids=[
        *(
            "scaled",
            "scaled by an operator",
            "operator",
            "daemons",
            "init",
            "where",
            "index",
            "added label",
            "node",
            "huge",
        ),
        *("misshapen count", "misshapen template", "no spec"),
    ],
)
def test_forecast_is_empty_where_only_a_cluster_decides(objects: list[dict[str, Any]], fault: Fault) -> None:
    assert _forecast(objects, fault) == Forecast()


def test_seeded_choice_is_certain_only_with_the_seed() -> None:
    """Two faults that each kill one of two pods hit the same one or both."""
    objects = [_owner("Deployment", replicas=2)]
    assert _forecast(objects, _kill(), _kill()) == Forecast()
    found = {bool(_forecast(objects, _kill(), _kill(), rng=lambda s=s: random.Random(s)).refused) for s in range(9)}  # type: ignore[misc]
    assert found == {True, False}
    assert _forecast(objects, _kill(), _kill("all")).refused, "whatever the first hits"


def test_caps_count_pods_and_leave_shares_of_unknown_totals() -> None:
    objects = [_owner("Deployment", replicas=3)]

    def refused(**caps: Cap) -> int:
        return len(_forecast(objects, _kill(2), policy=Policy(caps=Caps(**caps))).refused)  # type: ignore[arg-type]

    assert [refused(**{level: Cap(count=1)}) for level in ("workload", "namespace", "cluster")] == [1, 1, 1]
    assert refused(workload=Cap(share=0.5)) == 1
    assert refused(cluster=Cap(share=0.1), zone=Cap(count=1), nodes=Cap(count=0)) == 0


TWIN = "safety: {lastReplica: allowed}\n    breaks"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("count: 1}", "count: 9}", "8: faults[0].podKill: cannot be injected: 9 wanted, 3 found: app=shop matches 3"),
        ("count: 1}", "count: all}", "7: faults: the guard refuses this: no healthy pod of one-killed/deployment/shop"),
        (TWIN, "breaks", "12: twins.one-replica: the guard refuses this: no healthy pod of one-killed[one-replica]/"),
    ],
    ids=["too many", "all", "twin"],
)
def test_experiment_files_are_checked_when_read(tmp_path: Path, old: str, new: str, found: str) -> None:
    assert old in EXPERIMENT
    text = EXPERIMENT.replace(old, new)
    text = text if old == TWIN else text.partition("twins:")[0]
    file = write_project(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_experiment(file, Sources.for_root(tmp_path))
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file}:{found}")


def test_two_budgets_are_named_when_the_file_is_read(tmp_path: Path) -> None:
    budgets = [_budget(name, selector={"matchLabels": {"app": "shop"}}, maxUnavailable=1) for name in ("one", "two")]
    (write_workload(tmp_path) / "budgets.yaml").write_text(yaml.safe_dump_all(budgets))
    file = write_project(tmp_path, EXPERIMENT.replace("podKill", "podEvict").partition("twins:")[0])
    with pytest.raises(InputError, match="poddisruptionbudget/one and poddisruptionbudget/two both cover it"):
        load_experiment(file, Sources.for_root(tmp_path))

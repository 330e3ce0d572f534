"""Mutation operators: pure functions of manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.experiment.manifests import Workload
from harness.experiment.mutation.catalogue import OPERATORS, operators
from harness.experiment.mutation.mutant import LeftOut, weakened
from harness.experiment.mutation.operator import Operator, pod_of

BY_NAME = {each.name: each for each in OPERATORS}
PROBE = {"tcpSocket": {"port": 80}}


def _rich(kind: str) -> Object:
    """Return a workload that has everything that an operator takes away."""
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "shop"}},
        "template": {
            "metadata": {"labels": {"app": "shop"}},
            "spec": {
                "priorityClassName": "high",
                "terminationGracePeriodSeconds": 10,
                "affinity": {"podAntiAffinity": {"x": []}, "nodeAffinity": {"y": []}},
                "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}],
                "volumes": [
                    {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
                    {"name": "settings", "configMap": {"name": "settings"}},
                ],
                "initContainers": [{"name": "proxy", "restartPolicy": "Always", "readinessProbe": PROBE}],
                "containers": [
                    {
                        "name": "shop",
                        "image": "shop:1",
                        "readinessProbe": PROBE,
                        "livenessProbe": PROBE,
                        "startupProbe": PROBE,
                        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}, "postStart": PROBE},
                        "resources": {"requests": {"cpu": "10m", "memory": "1Mi"}, "limits": {"memory": "2Mi"}},
                    },
                    {"name": "log", "image": "log:1"},
                ],
            },
        },
    }
    if kind != "DaemonSet":
        spec["replicas"] = 3
    if kind == "DaemonSet":
        spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    if kind == "StatefulSet":
        spec["volumeClaimTemplates"] = [{"metadata": {"name": "disk"}, "spec": {}}]
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "shop"}, "spec": spec}


def _plain(kind: str) -> Object:
    """Return a workload that has nothing of it."""
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "shop", "image": "shop:1"}]}
    other = {"Deployment": {"strategy": {"type": "Recreate"}}, "DaemonSet": {"updateStrategy": {"type": "OnDelete"}}}
    spec = {"template": {"spec": pod}, **other.get(kind, {})}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "shop"}, "spec": spec}


def _workload(*objects: Object) -> Workload:
    return Workload(Path("shop"), objects, ())


def _weak(name: str, *objects: Object) -> tuple[Object, ...]:
    return weakened(_workload(*objects), BY_NAME[name]).objects


def _pod(name: str, item: Object) -> dict[str, Any]:
    (found,) = _weak(name, item)
    return pod_of(found)


KINDS = pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
NOT_FOR = {"replicas-1": "DaemonSet", "max-unavailable-100": "StatefulSet"}
BUDGET: Object = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "shop"}, "spec": {}}


@KINDS
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.name)
def test_operator_takes_away_one_thing_and_only_once(operator: Operator, kind: str) -> None:
    rich = _workload(_rich(kind), BUDGET)
    if NOT_FOR.get(operator.name) == kind:
        with pytest.raises(LeftOut, match=operator.unchanged):
            weakened(rich, operator)
        return
    weak = weakened(rich, operator)
    assert weak.objects != rich.objects
    with pytest.raises(LeftOut, match=operator.unchanged):
        weakened(weak, operator)


@KINDS
@pytest.mark.parametrize("operator", OPERATORS, ids=lambda each: each.name)
def test_nothing_to_take_away_is_left_out(operator: Operator, kind: str) -> None:
    with pytest.raises(LeftOut, match=operator.unchanged):
        weakened(_workload(_plain(kind)), operator)


@KINDS
@pytest.mark.parametrize("probe", ["readiness", "liveness", "startup"])
def test_probe_is_removed_from_all_containers(probe: str, kind: str) -> None:
    pod, before = _pod(f"no-{probe}-probe", _rich(kind)), pod_of(_rich(kind))
    for key in ("containers", "initContainers"):
        gone = [{k: v for k, v in each.items() if k != f"{probe}Probe"} for each in before[key]]
        assert pod[key] == gone


@KINDS
def test_pre_stop_hook_is_removed_and_others_stay(kind: str) -> None:
    assert _pod("no-pre-stop-hook", _rich(kind))["containers"][0]["lifecycle"] == {"postStart": PROBE}


@KINDS
def test_grace_period_is_zero_and_the_hook_stays(kind: str) -> None:
    pod = _pod("grace-period-0", _rich(kind))
    assert pod["terminationGracePeriodSeconds"] == 0
    assert "preStop" in pod["containers"][0]["lifecycle"]


def test_grace_period_of_zero_removes_a_hook_that_sleeps() -> None:
    item = _rich("Deployment")
    pod_of(item)["containers"][0]["lifecycle"]["preStop"] = {"sleep": {"seconds": 5}}
    assert "preStop" not in _pod("grace-period-0", item)["containers"][0]["lifecycle"]


def test_default_grace_period_is_reduced() -> None:
    item = _plain("Deployment")
    del pod_of(item)["terminationGracePeriodSeconds"]
    assert _pod("grace-period-0", item)["terminationGracePeriodSeconds"] == 0


@KINDS
def test_spread_is_removed_and_node_affinity_stays(kind: str) -> None:
    pod = _pod("no-spread", _rich(kind))
    assert pod["affinity"] == {"nodeAffinity": {"y": []}}
    assert "topologySpreadConstraints" not in pod


@KINDS
def test_priority_class_is_removed(kind: str) -> None:
    assert "priorityClassName" not in _pod("no-priority-class", _rich(kind))


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_one_replica_also_at_the_autoscaler(kind: str) -> None:
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"}}
    found, scaled = _weak("replicas-1", _rich(kind), {**scaler, "spec": {"minReplicas": 2, "maxReplicas": 9}})
    assert found["spec"]["replicas"] == 1
    assert scaled["spec"] == {"minReplicas": 1, "maxReplicas": 1}


def test_losses_of_spare_pods_permit_hitting_the_last_one() -> None:
    permitting = [each for each in OPERATORS if each.safety]
    assert [each.name for each in permitting] == ["replicas-1", "no-spread", "max-unavailable-100"]
    assert all(each.safety == {"last_replica": "allowed"} for each in permitting)


def test_disruption_budget_is_removed() -> None:
    (left,) = _weak("no-disruption-budget", _rich("Deployment"), BUDGET)
    assert left == _rich("Deployment")


def test_all_pods_may_be_unavailable_in_a_rollout() -> None:
    (deployment,) = _weak("max-unavailable-100", _rich("Deployment"))
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": "100%"}
    (daemon_set,) = _weak("max-unavailable-100", _rich("DaemonSet"))
    # Kubernetes refuses a DaemonSet with both.
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "100%", "maxSurge": 0}


@KINDS
def test_requests_are_gone_also_where_a_limit_implies_one(kind: str) -> None:
    resources = _pod("no-requests", _rich(kind))["containers"][0]["resources"]
    assert resources == {"requests": {"memory": "0"}, "limits": {"memory": "2Mi"}}


@KINDS
def test_limits_are_gone_and_requests_stay(kind: str) -> None:
    resources = _pod("no-limits", _rich(kind))["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "10m", "memory": "1Mi"}, "limits": {}}


def test_limit_that_implied_a_request_leaves_it() -> None:
    item = _rich("Deployment")
    pod_of(item)["containers"][0]["resources"] = {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}}
    resources = _pod("no-limits", item)["containers"][0]["resources"]
    assert resources == {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "1"}}


def test_resources_of_a_whole_pod_are_taken_away() -> None:
    item = _plain("Deployment")
    pod_of(item)["resources"] = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    assert _pod("no-limits", item)["resources"] == {"requests": {"cpu": "1"}, "limits": {}}
    assert _pod("no-requests", item)["resources"] == {"requests": {"cpu": "0"}, "limits": {"cpu": "2"}}


@KINDS
def test_claims_become_empty_directories(kind: str) -> None:
    (found,) = _weak("empty-dir-for-claim", _rich(kind))
    volumes = {each["name"]: each for each in pod_of(found)["volumes"]}
    assert volumes.pop("settings") == {"name": "settings", "configMap": {"name": "settings"}}
    names = ["data", "disk"] if kind == "StatefulSet" else ["data"]
    assert volumes == {name: {"name": name, "emptyDir": {}} for name in names}
    assert "volumeClaimTemplates" not in found["spec"]


def test_jobs_are_not_weakened() -> None:
    job = {**_rich("Deployment"), "kind": "Job", "apiVersion": "batch/v1"}
    for operator in OPERATORS:
        with pytest.raises(LeftOut):
            weakened(_workload(job), operator)


def test_objects_of_one_name_in_two_namespaces_are_left_out() -> None:
    one, other = _rich("Deployment"), _rich("Deployment")
    one["metadata"]["namespace"], other["metadata"]["namespace"] = "blue", "green"
    with pytest.raises(LeftOut, match="the patch cannot be applied: found this object in the namespaces"):
        _weak("replicas-1", one, other)


def test_names_choose_operators_in_the_order_of_the_catalogue() -> None:
    assert operators("") == ()
    assert operators("all") == OPERATORS
    assert [each.name for each in operators("replicas-1, no-readiness-probe")] == ["no-readiness-probe", "replicas-1"]


def test_unknown_operator_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no-spread, max-.*did you mean no-readiness-probe\?"):
        operators("no-readines-probe")


def test_sentences_complete_the_messages() -> None:
    for operator in OPERATORS:
        assert operator.unchanged.startswith("has no ")
        assert not operator.lost.endswith(".")
    assert len(BY_NAME) == len(OPERATORS) == 13

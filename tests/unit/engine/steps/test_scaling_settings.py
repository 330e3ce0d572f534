"""The settings that an autoscaler's reaction depends on, and the metrics that are read while it is watched."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.engine.steps.metrics_watch import MetricsWatch, useful_elsewhere, useful_for
from harness.engine.steps.scaling_settings import scaling_settings
from harness.model.timeline import Timeline
from tests.fake_run import Stage
from tests.unit.probes.test_pod_metrics import sample

FLAGS: Mapping[str, Mapping[str, str]] = {
    "kube-controller-manager": {"horizontal-pod-autoscaler-sync-period": "5s"},
    "metrics-server": {"metric-resolution": "10s"},
    "kubelet": {"housekeeping-interval": "5s"},
}


def pod(name: str, labels: dict[str, str], *arguments: str) -> dict[str, Any]:
    container = {"name": "main", "command": ["program", arguments[0]], "args": list(arguments[1:])}
    meta = {"name": name, "namespace": "kube-system", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


def workload(metrics: list[dict[str, Any]] | None = None, **container: Any) -> list[dict[str, Any]]:
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}
    spec = {"containers": [{"name": "app", "image": "x", **container}]}
    labels = {"app": "shop"}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "shop"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}},
        },
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "shop"},
            "spec": {"scaleTargetRef": target, "maxReplicas": 3, "metrics": metrics or [cpu]},
        },
    ]


def found(cluster: FakeCluster, objects: list[dict[str, Any]]) -> Mapping[str, Any]:
    ((subject, value),) = scaling_settings(cluster, objects)
    assert subject == "hpa/shop"
    return value


def numbers(value: Mapping[str, Any]) -> list[float]:
    return [value[name] for name in ("sync", "tolerance", "resolution", "sampling")]


def test_settings_are_the_flags_of_the_components(fake_cluster: FakeCluster) -> None:
    fake_cluster.component_flags |= FLAGS
    value = found(fake_cluster, workload())
    assert (numbers(value), value["assumed"]) == ([5.0, 0.1, 10.0, 5.0], [])


def test_unreadable_settings_are_documented_defaults(fake_cluster: FakeCluster) -> None:
    value = found(fake_cluster, workload())
    assert (numbers(value), value["assumed"]) == (
        [15.0, 0.1, 15.0, 10.0],
        ["sync", "tolerance", "resolution", "sampling"],
    )


@pytest.mark.parametrize(("text", "sync", "assumed"), [("1m30s", 90.0, False), ("500us", 15.0, True), ("", 15.0, True)])
def test_flag_that_is_not_understood_is_assumed(
    fake_cluster: FakeCluster, text: str, sync: float, assumed: bool
) -> None:
    fake_cluster.component_flags |= {"kube-controller-manager": {"horizontal-pod-autoscaler-sync-period": text}}
    value = found(fake_cluster, workload())
    assert value["sync"] == sync
    assert ("sync" in value["assumed"]) is assumed


def test_flags_are_read_from_the_pods_of_components(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.seed(
        pod("kcm", {"component": "kube-controller-manager"}, "--horizontal-pod-autoscaler-tolerance=0.2", "--v=2"),
        pod("metrics", {"k8s-app": "metrics-server"}, "--secure-port=1", "--metric-resolution=1m30s"),
    )
    value = found(fake_cluster, workload())
    assert (numbers(value), value["assumed"]) == ([15.0, 0.2, 90.0, 10.0], ["sampling"])


def test_forbidden_flags_are_assumed(fake_cluster: FakeCluster) -> None:
    fake_cluster.server.fail_next(403, "Forbidden", path="/api/v1/namespaces/kube-system", count=2)
    assert "sync" in found(fake_cluster, workload())["assumed"]


def test_own_settings_come_before_those_of_the_cluster(fake_cluster: FakeCluster) -> None:
    objects = workload()
    objects[1]["spec"]["behavior"] = {"scaleUp": {"stabilizationWindowSeconds": 30, "tolerance": "50m"}}
    value = found(fake_cluster, objects)
    assert (value["window"], value["tolerance"], value["target"]) == (30.0, 0.05, "deployment/shop")


def test_probes_have_the_defaults_of_the_api(fake_cluster: FakeCluster) -> None:
    value = found(fake_cluster, workload(readinessProbe={"periodSeconds": 1}))
    assert value["ready"] == {
        "app": {
            "readiness delay": 0.0,
            "readiness period": 1.0,
            "readiness timeout": 1.0,
            "readiness successes": 1.0,
        }
    }


@pytest.mark.parametrize(
    ("resources", "per_pod"),
    [
        ({"requests": {"cpu": "100m"}}, [0.06]),
        ({"limits": {"cpu": "1"}}, [0.6]),
        ({"requests": {"memory": "1Gi"}}, []),
        ({}, []),
    ],
)
def test_utilization_is_a_share_of_the_requests(
    fake_cluster: FakeCluster, resources: dict[str, Any], per_pod: list[float]
) -> None:
    value = found(fake_cluster, workload(resources=resources))
    assert [each["per_pod"] for each in value["metrics"]] == per_pod


def test_metric_of_one_container_is_an_amount(fake_cluster: FakeCluster) -> None:
    wanted = {"name": "memory", "container": "app", "target": {"type": "AverageValue", "averageValue": "64Mi"}}
    value = found(fake_cluster, workload([{"type": "ContainerResource", "containerResource": wanted}]))
    amount = 64 * 2**20
    assert value["metrics"] == [{"resource": "memory", "container": "app", "per_pod": amount, "target": amount}]


def test_autoscaler_that_keda_makes_has_its_settings(fake_cluster: FakeCluster) -> None:
    deployment, _ = workload(readinessProbe={"periodSeconds": 1})
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 30}}
    spec = {
        "scaleTargetRef": {"name": "shop"},
        "pollingInterval": 2,
        "triggers": [{"type": "redis", "metadata": {}}],
        "advanced": {"horizontalPodAutoscalerConfig": {"name": "shop", "behavior": behavior}},
    }
    scaled = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"}, "spec": spec}
    value = found(fake_cluster, [deployment, scaled])
    assert [value[name] for name in ("polling", "external", "window", "target")] == [2.0, True, 30.0, "deployment/shop"]
    assert (list(value["ready"]), value["metrics"]) == (["app"], [])
    spec["triggers"].append({"type": "cpu", "metadata": {"value": "60"}})  # type: ignore[union-attr]
    assert found(fake_cluster, [deployment, scaled])["external"] is False


@pytest.mark.parametrize(
    ("metrics", "external"),
    [(None, False), ([{"type": "External", "external": {"metric": {"name": "jobs"}}}], True)],
)
def test_metrics_of_other_sources_are_external(
    fake_cluster: FakeCluster, metrics: list[dict[str, Any]] | None, external: bool
) -> None:
    value = found(fake_cluster, workload(metrics))
    assert (value["external"], value["polling"]) == (external, None)


def test_metrics_are_read_while_the_autoscaler_is_watched(tmp_path: Path) -> None:
    stage, timeline, looked = Stage(tmp_path), Timeline(0.0, 0.0), threading.Event()
    stage.cluster.server.seed(sample("shop-1", "20m"))
    watch = MetricsWatch(stage.run(), "shop", timeline, workload())
    watch._run.clock.wait = lambda event, seconds: looked.set() or event.wait(30)  # type: ignore[method-assign]
    with watch:
        assert looked.wait(30)
    assert [(seen.series, seen.subject) for seen in timeline] == [("scaling", "hpa/shop"), ("podMetrics", "shop-1")]


def test_workload_without_an_autoscaler_is_not_watched(tmp_path: Path) -> None:
    stage, timeline = Stage(tmp_path), Timeline(0.0, 0.0)
    with MetricsWatch(stage.run(), "shop", timeline, workload()[:1]) as watch:
        assert not watch._thread.is_alive()
    assert list(timeline) == []
    assert useful_for(workload()[:1]) == useful_elsewhere(workload()[:1]) == frozenset()
    assert {str(each) for each in useful_for(workload())} == {"list pods.metrics.k8s.io in the experiment's namespace"}
    assert {str(each) for each in useful_elsewhere(workload())} == {"list pods in namespace kube-system"}

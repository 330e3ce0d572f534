"""A ScaledObject is read as the autoscaler that KEDA makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.autoscalers import autoscalers, metric_kinds, polling_interval
from harness.cluster.kube.client import Object
from harness.cluster.kube.objects import reference

QUEUE = {"type": "redis", "metadata": {"listName": "jobs"}}


def scaled(**spec: Any) -> Object:
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "worker"},
        "spec": {"scaleTargetRef": {"name": "worker"}, "triggers": [QUEUE], **spec},
    }


def made(**spec: Any) -> Object:
    ((autoscaler, origin),) = autoscalers([scaled(**spec)])
    assert origin["kind"] == "ScaledObject"
    return autoscaler


def test_autoscaler_is_its_own_origin() -> None:
    item = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"}, "spec": {}}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}}
    other = {"apiVersion": "example.com/v1", "kind": "ScaledObject", "metadata": {"name": "shop"}}
    assert list(autoscalers([deployment, item, other])) == [(item, item)]


def test_name_target_and_limits_are_those_that_keda_gives() -> None:
    found = made(minReplicaCount=0, maxReplicaCount=4)
    assert reference(found) == "hpa/keda-hpa-worker"
    assert found["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}
    assert (found["spec"]["minReplicas"], found["spec"]["maxReplicas"], found["spec"]["metrics"]) == (1, 4, [])
    assert made()["spec"]["maxReplicas"] == 100


def test_own_name_and_behaviour_of_the_autoscaler_are_used() -> None:
    behavior = {"scaleUp": {"stabilizationWindowSeconds": 30}}
    found = made(advanced={"horizontalPodAutoscalerConfig": {"name": "shop", "behavior": behavior}})
    assert (reference(found), found["spec"]["behavior"]) == ("hpa/shop", behavior)


@pytest.mark.parametrize(
    ("trigger", "metric"),
    [
        (
            {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": "60"}}},
        ),
        (
            {"type": "memory", "metricType": "AverageValue", "metadata": {"value": "64Mi", "containerName": "app"}},
            {
                "type": "ContainerResource",
                "containerResource": {"name": "memory", "target": {"averageValue": "64Mi"}, "container": "app"},
            },
        ),
    ],
)
def test_triggers_of_cpu_and_memory_are_metrics(trigger: Object, metric: Object) -> None:
    assert made(triggers=[QUEUE, trigger])["spec"]["metrics"] == [metric]


def test_polling_interval_has_the_default_of_keda() -> None:
    assert polling_interval(scaled()) == 30.0
    assert polling_interval(scaled(pollingInterval=2)) == 2.0


def test_malformed_scaled_object_has_the_defaults() -> None:
    assert reference(made(triggers=None, advanced=None, scaleTargetRef=None)) == "hpa/keda-hpa-worker"


CPU = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "60"}}


@pytest.mark.parametrize(
    ("triggers", "kinds"),
    [([QUEUE], ["External"]), ([CPU], ["Resource"]), ([CPU, QUEUE], ["Resource", "External"]), ([], [])],
)
def test_kinds_of_metrics_of_a_scaled_object(triggers: list[Object], kinds: list[str]) -> None:
    assert list(metric_kinds([scaled(triggers=triggers)])) == kinds


@pytest.mark.parametrize(("metrics", "kinds"), [(None, ["Resource"]), ([{"type": "Pods"}], ["Pods"])])
def test_kinds_of_metrics_of_an_autoscaler(metrics: list[Object] | None, kinds: list[str]) -> None:
    item = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"}}
    assert list(metric_kinds([{**item, "spec": {"metrics": metrics}}])) == kinds

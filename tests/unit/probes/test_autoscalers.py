"""The autoscaler probe reads every type of metric into numbers."""

from __future__ import annotations

from typing import Any

import pytest

from harness.common.clock import parse_kubernetes_time
from harness.probes.autoscalers import AutoscalerProbe


def seen(*metrics: dict[str, Any]) -> Any:
    item = {
        "metadata": {"name": "web"},
        "spec": {"minReplicas": 2, "maxReplicas": 6},
        "status": {
            "currentReplicas": 3,
            "desiredReplicas": 5,
            "currentMetrics": list(metrics) or None,
            "lastScaleTime": "2026-11-23T07:24:00Z",
            "conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"}],
        },
    }
    (sighting,) = AutoscalerProbe().see("MODIFIED", item)
    return sighting


def test_desired_autoscaler_replicas_are_read() -> None:
    sighting = seen()
    assert (sighting.subject, sighting.wall) == ("hpa/web", parse_kubernetes_time("2026-11-23T07:24:00Z"))
    assert sighting.value == {
        "event": "MODIFIED",
        "current": 3,
        "desired": 5,
        "min": 2,
        "max": 6,
        "metrics": {},
        "conditions": {
            "ScalingActive": {"status": "False", "reason": "FailedGetResourceMetric", "message": "", "since": None}
        },
    }


def test_a_fresh_autoscaler_has_no_numbers() -> None:
    item = {"metadata": {"name": "web"}, "spec": {"maxReplicas": 6}, "status": {}}
    (sighting,) = AutoscalerProbe().see("ADDED", item)
    assert (sighting.value["current"], sighting.value["desired"], sighting.value["min"]) == (None, None, 1)
    item["status"] = {"desiredReplicas": 0, "conditions": [{"type": "AbleToScale", "status": "True"}]}
    (sighting,) = AutoscalerProbe().see("MODIFIED", item)
    assert (sighting.value["current"], sighting.value["desired"]) == (0, 0)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            {
                "type": "Resource",
                "resource": {"name": "cpu", "current": {"averageUtilization": 83, "averageValue": "41m"}},
            },
            {"cpu": 83.0},
        ),
        (
            {"type": "Resource", "resource": {"name": "memory", "current": {"averageValue": "64Mi"}}},
            {"memory": 67108864.0},
        ),
        (
            {
                "type": "ContainerResource",
                "containerResource": {"name": "cpu", "container": "app", "current": {"averageUtilization": 5}},
            },
            {"app/cpu": 5.0},
        ),
        ({"type": "Pods", "pods": {"metric": {"name": "rps"}, "current": {"averageValue": "1500m"}}}, {"rps": 1.5}),
        ({"type": "External", "external": {"metric": {"name": "queue"}, "current": {"value": "12"}}}, {"queue": 12.0}),
        ({"type": "Object", "object": {"metric": {"name": "hits"}, "current": {"value": "2k"}}}, {"hits": 2000.0}),
        ({"type": "", "resource": None}, {}),
        ({"type": "Resource", "resource": {"name": "cpu", "current": {}}}, {}),
    ],
)
def test_metrics_become_numbers_and_unreadable_ones_are_left_out(
    metric: dict[str, Any], expected: dict[str, float]
) -> None:
    assert seen(metric).value["metrics"] == expected

"""Autoscalers that act on the same metric of one workload are found."""

from __future__ import annotations

from typing import Any

import pytest

from harness.experiment.workload_checks.conflicts import scaled_twice

DEPLOYMENT: Any = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "shop"},
    "spec": {"template": {"spec": {"containers": [{"name": "app"}, {"name": "proxy"}]}}},
}


def horizontal(*metrics: dict[str, Any]) -> Any:
    target = {"kind": "Deployment", "name": "shop"}
    spec = {"scaleTargetRef": target, "metrics": list(metrics)}
    return {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"}, "spec": spec}


def vertical(*policies: dict[str, Any], mode: str = "Recreate", name: str = "shop") -> Any:
    spec = {
        "targetRef": {"kind": "Deployment", "name": name},
        "updatePolicy": {"updateMode": mode},
        "resourcePolicy": {"containerPolicies": list(policies)},
    }
    return {"kind": "VerticalPodAutoscaler", "metadata": {"name": "shop"}, "spec": spec}


def metric(name: str) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name}}


def of(container: str) -> dict[str, Any]:
    return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": container}}


@pytest.mark.parametrize(
    ("metrics", "scaler", "shared"),
    [
        ([metric("cpu")], vertical(), ("cpu",)),
        ([], vertical(), ("cpu",)),
        ([metric("cpu"), metric("memory")], vertical(), ("cpu", "memory")),
        ([metric("cpu")], vertical({"containerName": "*", "controlledResources": ["memory"]}), ()),
        ([metric("cpu")], vertical({"containerName": "*", "mode": "Off"}), ()),
        ([metric("cpu")], vertical({"containerName": "app", "mode": "Off"}), ("cpu",)),
        ([of("app")], vertical({"containerName": "app", "mode": "Off"}), ()),
        ([of("proxy")], vertical({"containerName": "app", "mode": "Off"}), ("cpu",)),
        ([metric("cpu")], vertical(mode="Off"), ()),
        ([metric("cpu")], vertical(name="cart"), ()),
        ([{"type": "External", "external": {"metric": {"name": "cpu"}}}], vertical(), ()),
    ],
)
def test_shared_resources_are_a_conflict(metrics: Any, scaler: Any, shared: tuple[str, ...]) -> None:
    found = list(scaled_twice([DEPLOYMENT, horizontal(*metrics), scaler]))
    assert [each.resources for each in found] == ([shared] if shared else [])


def test_conflict_names_both_autoscalers() -> None:
    (found,) = scaled_twice([DEPLOYMENT, horizontal(metric("cpu")), vertical()])
    assert str(found).startswith("hpa/shop and vpa/shop both scale deployment/shop by cpu: ")

"""Rules about replicas that an autoscaler does not add, and pods that have no room."""

from __future__ import annotations

from typing import Any

import pytest

from harness.advice.rule import Advice, Strength
from tests.unit.advice.test_rules import KILL, changed, found, shop, workload
from tests.unit.timelines import PODINFO, Story


def scaled(
    story: Story, *, behavior: Any = None, metrics: Any = None, unit: str = "s", comparison: str = ">=", **changes: Any
) -> dict[str, Advice]:
    target = {"kind": "Deployment", "name": "podinfo"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, "behavior": behavior, "metrics": metrics}
    item = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "podinfo"}, "spec": spec}
    objects = [*workload(shop(**changes)), item]
    return found(objects, KILL, story, "replicas", unit=unit, comparison=comparison)


def autoscaled(desired: int, conditions: dict[str, Any], **changes: Any) -> Advice:
    story = Story().add("autoscalers", "hpa/podinfo", 12.0, {"desired": desired, "conditions": conditions})
    return scaled(story, **changes)["autoscaler"]


def test_autoscaler_at_its_maximum() -> None:
    top = autoscaled(3, {})
    assert (top.cause, top.evidence) == ("hpa/podinfo is at its maximum", "it wanted 3 of at most 3 replicas")


def sized(*sizes: int) -> Story:
    """An autoscaler that wanted these numbers of replicas, one after another from 11 s on."""
    story = Story()
    for at, size in enumerate(sizes, start=11):
        story.add("autoscalers", "hpa/podinfo", at, {"desired": size, "conditions": {}})
    return story


def test_maximum_is_no_cause_of_too_many_replicas() -> None:
    assert "autoscaler" not in scaled(sized(1, 3, 3), unit="replicas", comparison="<=")


def custom(metric: dict[str, Any], read: float | None, **fields: Any) -> dict[str, Advice]:
    """An autoscaler with this metric, which read a value of it, or failed to."""
    kind = "pods" if metric.get("type") == "Pods" else "object"
    failing = {"status": "False", "reason": f"FailedGet{metric['type']}Metric", "message": "no metric requests"}
    metrics = {} if read is None else {metric[kind]["metric"]["name"]: read}
    state = {"desired": 1, "conditions": {"ScalingActive": failing} if read is None else {}, "metrics": metrics}
    return scaled(Story().add("autoscalers", "hpa/podinfo", 12.0, state), metrics=[metric], **fields)


def of_pods(average: str) -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": average}
    return {"type": "Pods", "pods": {"metric": {"name": "requests"}, "target": target}}


def of_service(target: dict[str, Any]) -> dict[str, Any]:
    described = {"apiVersion": "v1", "kind": "Service", "name": "shop"}
    return {"type": "Object", "object": {"describedObject": described, "metric": {"name": "r"}, "target": target}}


@pytest.mark.parametrize(
    ("metric", "named"), [(of_pods("12"), "requests of its pods"), (of_service({}), "r of service/shop")]
)
def test_metric_that_does_not_exist(metric: dict[str, Any], named: str) -> None:
    advice = custom(metric, None)["autoscaler"]
    assert advice.cause == f"hpa/podinfo cannot compute a number of replicas: no value of {named}"
    assert advice.evidence.endswith("no metric requests")


@pytest.mark.parametrize(("average", "named"), [("1k", True), ("12", False)])
def test_target_out_of_reach(average: str, named: bool) -> None:
    advice = custom(of_pods(average), 40.0)
    assert ("metric-target" in advice) is named
    if named:
        assert advice["metric-target"].cause == "hpa/podinfo wants 1000 of requests, which is out of reach"
        assert advice["metric-target"].evidence == "the most that it read is 40"


def test_target_of_all_replicas_together() -> None:
    metric, many = of_service({"type": "Value", "value": "12"}), {"unit": "replicas", "comparison": "<="}
    advice = custom(metric, 40.0, **many)["metric-target"]
    changed = of_service({"type": "AverageValue", "averageValue": "12"})
    assert advice.patch == {"hpa/podinfo": {"spec": {"metrics": [changed]}}}
    assert "metric-target" not in custom(metric, 40.0)


def test_maximum_that_it_left_by_itself_limited_nothing() -> None:
    assert "autoscaler" in scaled(sized(1, 3, 3))
    assert "autoscaler" not in scaled(sized(3, 1, 3))


@pytest.mark.parametrize(("current", "named"), [(1, True), (2, False)])
def test_minimum_is_what_remains_without_metrics(current: int, named: bool) -> None:
    failing = {"status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}
    state = {"current": current, "desired": 1, "conditions": {"ScalingActive": failing}}
    story = Story().add("autoscalers", "hpa/podinfo", 12.0, state)
    # In the recovery it has metrics again, and may add what it needs.
    story.add("autoscalers", "hpa/podinfo", 25.0, {"current": 3 - current, "desired": 3, "conditions": {}})
    blind = scaled(story)["autoscaler"]
    assert ("so it keeps its minimum: 1 replica" in blind.cause) is named
    assert blind.patch == ({"hpa/podinfo": {"spec": {"minReplicas": 3}}} if named else {})


@pytest.mark.parametrize(("sizes", "strength"), [((3, 1, 3), Strength.OBSERVED), ((3, 1), Strength.LIKELY)])
def test_replicas_that_were_removed_at_once(sizes: tuple[int, ...], strength: Strength) -> None:
    advice = scaled(sized(*sizes), behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})["stabilization"]
    assert advice.cause == "hpa/podinfo removes replicas with the first metrics that permit it"
    assert advice.evidence.endswith(f"it wanted {', then '.join(map(str, sizes))} replicas")
    assert advice.strength is strength
    window = {"stabilizationWindowSeconds": 300}
    assert advice.patch == {"hpa/podinfo": {"spec": {"behavior": {"scaleDown": window}}}}


def test_usual_stabilization_is_no_cause() -> None:
    assert "stabilization" not in scaled(sized(3, 1, 3))
    assert "stabilization" not in scaled(sized(1, 3), behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})


def test_window_before_replicas_are_added() -> None:
    advice = scaled(sized(1), behavior={"scaleUp": {"stabilizationWindowSeconds": 60}})["stabilization"]
    assert advice.cause == "hpa/podinfo waits 60 s before it adds replicas"
    assert advice.patch == {"hpa/podinfo": {"spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}}}}


def test_maximum_of_keda_is_that_of_its_scaled_object() -> None:
    spec = {"scaleTargetRef": {"name": "podinfo"}, "maxReplicaCount": 3}
    item = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "shop"}, "spec": spec}
    story = Story().add("autoscalers", "hpa/keda-hpa-shop", 12.0, {"desired": 3, "conditions": {}})
    advice = found([*workload(shop()), item], KILL, story, "replicas")["autoscaler"]
    assert advice.cause == "hpa/keda-hpa-shop is at its maximum"
    assert advice.patch == {"scaledobject/shop": {"spec": {"maxReplicaCount": 7}}}


@pytest.mark.parametrize(
    ("at", "named"), [((2.0,), True), ((2.0, 8.0), False), ((12.0,), True), ((12.0, 15.0), False), ((12.0, 25.0), True)]
)
def test_autoscaler_that_cannot_compute_for_a_while_is_no_cause(at: tuple[float, ...], named: bool) -> None:
    """It fails from the first instant to the second one, and the fault phase ends at 20 s."""
    failing = {"status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}
    story = Story().add("autoscalers", "hpa/podinfo", at[0], {"desired": 0, "conditions": {"ScalingActive": failing}})
    for fine in at[1:]:
        story.add("autoscalers", "hpa/podinfo", fine, {"desired": 1, "conditions": {}})
    assert ("autoscaler" in scaled(story)) is named


@pytest.mark.parametrize(("ready", "named"), [(3, True), (1, False)])
def test_maximum_is_a_cause_only_if_it_was_reached(ready: int, named: bool) -> None:
    story = Story().add("autoscalers", "hpa/podinfo", 12.0, {"desired": 3, "conditions": {}})
    assert ("autoscaler" in scaled(story.add("workloads", PODINFO, 14.0, {"ready": ready}))) is named


@pytest.mark.parametrize(("message", "named"), [("pods is forbidden: exceeded quota: room", True), ("denied", False)])
def test_quota_that_refuses_pods(message: str, named: bool) -> None:
    failure = {"ReplicaFailure": {"status": "True", "reason": "FailedCreate", "message": message}}
    story = Story().add("workloads", PODINFO, 14.0, {"ready": 1, "conditions": failure})
    advice = found(workload(shop()), KILL, story, "replicas")
    assert ("quota-reached" in advice) is named
    if named:
        assert advice["quota-reached"].cause == "a ResourceQuota refuses further pods of deployment/podinfo"
        assert advice["quota-reached"].evidence == message


def test_pods_without_room_are_named_without_a_fault() -> None:
    message = {"reason": "FailedScheduling", "message": "2 Insufficient cpu", "type": "Warning", "count": 1}
    story = Story().pod(11.0, "podinfo-d", "d", ready=False, event="ADDED")
    assert "no-room" not in found(
        workload(shop()), KILL, story.add("events", "pod/podinfo-d", 9.0, message), "replicas"
    )
    advice = found(workload(shop()), KILL, story.add("events", "pod/podinfo-d", 12.0, message), "replicas")["no-room"]
    assert advice.evidence == "2 Insufficient cpu"


def test_autoscaler_without_a_metric() -> None:
    failing = {"status": "False", "reason": "FailedGetResourceMetric", "message": "no cpu request"}
    blind = autoscaled(1, {"ScalingActive": failing}, resources=None)
    assert blind.cause == "hpa/podinfo cannot compute a number of replicas: container app has no request for cpu"
    assert blind.evidence == "FailedGetResourceMetric: no cpu request"
    assert changed(blind)["resources"]["requests"] == {"cpu": "100m"}


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        ({"requests": {"memory": "32Mi"}}, True),
        ({"requests": {"cpu": "50m"}}, False),
        ({"limits": {"cpu": "50m"}}, False),
    ],
)
def test_request_that_the_metric_needs_is_named(resources: dict[str, Any], named: bool) -> None:
    failing = {"status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}
    blind = autoscaled(1, {"ScalingActive": failing}, resources=resources)
    assert ("container app has no request for cpu" in blind.cause) is named
    assert bool(blind.patch) is named


@pytest.mark.parametrize(("controlled", "named"), [(["cpu"], True), (["memory"], False)])
def test_two_autoscalers_for_one_metric_are_named(controlled: list[str], named: bool) -> None:
    target = {"kind": "Deployment", "name": "podinfo"}
    horizontal = {"scaleTargetRef": target, "maxReplicas": 9}
    policy = {"containerName": "*", "controlledResources": controlled}
    vertical = {"targetRef": target, "resourcePolicy": {"containerPolicies": [policy]}}
    items = [
        {"kind": kind, "metadata": {"name": "podinfo"}, "spec": spec}
        for kind, spec in (("HorizontalPodAutoscaler", horizontal), ("VerticalPodAutoscaler", vertical))
    ]
    story = Story()
    for at, desired in ((12.0, 2), (14.0, 3), (16.0, 5)):
        story.add("autoscalers", "hpa/podinfo", at, {"desired": desired, "conditions": {}})
    advice = found([*workload(shop()), *items], KILL, story, "replicas")
    assert ("two-autoscalers" in advice) is named
    if named:
        assert advice["two-autoscalers"].evidence == "hpa/podinfo changed its size 2 times"
        other = [{"containerName": "*", "controlledResources": ["memory"]}]
        assert advice["two-autoscalers"].patch == {
            "vpa/podinfo": {"spec": {"resourcePolicy": {"containerPolicies": other}}}
        }

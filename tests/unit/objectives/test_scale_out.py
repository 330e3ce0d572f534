"""Scale-out: the first new replica, against a model that the cluster's own settings give."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.verdict import Verdict
from harness.objectives._reaction import reaction
from harness.objectives.scale_out import ScaleOut
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
HPA = "hpa/podinfo"
PROBE = {"readiness delay": 0.0, "readiness period": 2.0, "readiness timeout": 1.0, "readiness successes": 1.0}
# 2 × 10 s + 5 s, 5 s, 5 s and 2 s + 1 s: 38 s, and one sync period of slack.
SETTINGS: dict[str, Any] = {
    "sync": 5.0,
    "tolerance": 0.1,
    "resolution": 10.0,
    "sampling": 5.0,
    "assumed": [],
    "target": PODINFO,
    "window": 0.0,
    "ready": {"app": PROBE},
    "metrics": [{"resource": "cpu", "container": "", "per_pod": 0.06}],
}


def use(story: Story, at: float, cores: float, pod: str = "podinfo-a") -> Story:
    return story.add("podMetrics", pod, at, {"window": "10s", "containers": {"app": {"cpu": cores}}})


def desired(story: Story, at: float, size: int | None, **conditions: Any) -> Story:
    value = {"current": size, "desired": size, "min": 1, "max": 4, "conditions": conditions}
    return story.add("autoscalers", HPA, at, value)


def scaled(*, served: float | None = 27.0, settings: dict[str, Any] | None = SETTINGS) -> Story:
    """The load jumps at 10 s, the metrics show it at 21 s, and the autoscaler adds podinfo-b at 23 s."""
    story = Story(fault=60)
    if settings:
        story.add("scaling", HPA, 0.5, settings)
    story.replicas_ready("a")
    use(desired(story, 1.0, 1), 2.0, 0.02)
    use(use(story, 12.0, 0.065), 21.0, 0.2)
    desired(story, 23.0, 3)
    story.pod(23.2, "podinfo-b", "b", ready=False, event="ADDED", node="", unreported=True)
    story.pod(23.3, "podinfo-b", "b", ready=False, unreported=True)
    if served is not None:
        story.pod(25.0, "podinfo-b", "b", ready=False, started=24.0)
        story.pod(served - 0.1, "podinfo-b", "b", started=24.0, since=26.0)
        story.endpoints(served, "a", "b")
    return story


def judge(story: Story, **fields: Any) -> tuple[Verdict, str]:
    finding = ScaleOut(of=HPA, **fields).judge(story.timeline)
    return finding.verdict, finding.reason


def test_model_adds_the_longest_time_of_each_part() -> None:
    assert [(part.name, part.seconds) for part in reaction(SETTINGS)] == [
        ("metrics", 25.0),
        ("autoscaler", 5.0),
        ("pod started", 5.0),
        ("ready", 3.0),
    ]


@pytest.mark.parametrize(
    ("changes", "part", "seconds"),
    [
        ({"resolution": 60.0, "sampling": 10.0}, "metrics", 130.0),
        ({"sync": 15.0}, "autoscaler", 15.0),
        ({"window": 30.0}, "autoscaler", 35.0),
        ({"ready": {}}, "ready", 0.0),
        ({"ready": None}, "ready", 0.0),
        ({"ready": {"app": PROBE | {"readiness delay": 7.0, "readiness successes": 3.0}}}, "ready", 14.0),
        (
            {"ready": {"app": PROBE | {name.replace("readiness", "startup"): each for name, each in PROBE.items()}}},
            "ready",
            6.0,
        ),
        ({"ready": {"app": PROBE, "proxy": PROBE | {"readiness period": 20.0}}}, "ready", 21.0),
    ],
)
def test_model_follows_the_settings(changes: dict[str, Any], part: str, seconds: float) -> None:
    found = {each.name: each.seconds for each in reaction(SETTINGS | changes)}
    assert found[part] == seconds


def test_time_to_pull_the_image_is_part_of_the_start() -> None:
    found = {each.name: each for each in reaction(SETTINGS, image=20.0)}
    assert found["pod started"].seconds == 25.0
    assert found["pod started"].formula == "startup SLO 5 s + image 20 s"


@pytest.mark.parametrize(
    ("served", "fields", "verdict"),
    [
        (27.0, {}, HELD),
        (53.0, {}, HELD),
        (53.1, {}, BROKEN),
        (49.0, {"slack": "1s"}, HELD),
        (49.1, {"slack": "1s"}, BROKEN),
        (69.0, {"image": "20s"}, HELD),
    ],
)
def test_limit_is_the_model_and_the_slack(served: float, fields: dict[str, Any], verdict: Verdict) -> None:
    assert judge(scaled(served=served), **fields)[0] is verdict


def test_each_part_is_shown_beside_the_model() -> None:
    finding = ScaleOut(of=HPA).judge(scaled().timeline)
    assert (finding.observed, finding.limit) == (17.0, 43.0)
    assert "model 38 s + 5 s slack" in finding.reason
    assert finding.detail["metrics"].startswith("11 s, model at most 25 s: 2 × metric resolution 10 s")
    assert finding.detail["autoscaler"].startswith("2 s, model at most 5 s: HPA sync period 5 s")
    assert finding.detail["pod started"].startswith("2 s (created 200 ms, scheduled 100 ms, started 1.7 s), model at")
    assert finding.detail["ready"].startswith("2 s (ready 1.9 s, endpoint 100 ms), model at most 3 s")


def test_metrics_that_were_not_read_belong_to_the_autoscaler() -> None:
    finding = ScaleOut(of=HPA).judge(scaled(settings=SETTINGS | {"metrics": []}).timeline)
    assert finding.verdict is HELD
    assert finding.detail["metrics"].startswith("not measured, model at most 25 s")
    assert finding.detail["autoscaler"].startswith("13 s (metrics and autoscaler 13 s), model at most 5 s")


def test_a_sample_of_the_metrics_within_the_tolerance_is_no_rise() -> None:
    """0.065 of 0.06 cores at 12 s."""
    finding = ScaleOut(of=HPA).judge(scaled(settings=SETTINGS | {"tolerance": 0.0}).timeline)
    assert finding.detail["metrics"].startswith("2 s,")


def test_assumed_settings_are_named() -> None:
    _, reason = judge(scaled(settings=SETTINGS | {"assumed": ["sync", "sampling"]}))
    assert "Kubernetes' defaults are assumed: HPA sync period, kubelet's sampling" in reason


def test_no_new_replica_is_broken_once_watched_long_enough() -> None:
    verdict, reason = judge(scaled(served=None))
    assert verdict is BROKEN
    assert "the last stage that was reached is: scheduled" in reason
    assert judge(scaled(served=None), slack="60s")[0] is INCONCLUSIVE


def test_autoscaler_that_wants_no_more_gives_its_reason() -> None:
    story = use(desired(Story(fault=60).add("scaling", HPA, 0.5, SETTINGS).replicas_ready("a"), 1.0, 1), 30.0, 0.2)
    limited = {"status": "True", "reason": "TooManyReplicas", "message": "more than the maximum"}
    verdict, reason = judge(desired(story, 31.0, 1, ScalingLimited=limited))
    assert verdict is BROKEN
    assert "it never wanted more replicas: ScalingLimited is True: TooManyReplicas: more than the maximum" in reason


def test_replacement_before_the_decision_is_no_new_replica() -> None:
    story = scaled(served=None)
    story.pod(12.0, "podinfo-c", "c", ready=False, event="ADDED").pod(14.0, "podinfo-c", "c", started=13.0, since=14.0)
    assert judge(story.endpoints(14.1, "a", "c"))[0] is BROKEN


def test_without_a_service_a_ready_pod_serves() -> None:
    story = Story(fault=60).add("scaling", HPA, 0.5, SETTINGS).pod(1.0, "podinfo-a", "a", event="SYNC", since=0.5)
    desired(desired(story, 1.0, 1), 23.0, 2).pod(30.0, "podinfo-b", "b", event="ADDED", started=28.0, since=29.0)
    finding = ScaleOut(of=HPA).judge(story.timeline)
    assert (finding.verdict, finding.observed) == (HELD, 20.0)


@pytest.mark.parametrize(
    "story",
    [
        Story(fault=0, recovery=0, settle=0).add("scaling", HPA, 0.5, SETTINGS),
        scaled(settings=None),
        Story(fault=60).add("scaling", HPA, 0.5, SETTINGS),
        scaled(served=None).gap("pods", 24.0),
        scaled(served=None).gap("endpoints", 24.0, 25.0, complete=False),
        scaled(served=None).gap("autoscalers", 24.0, 25.0, complete=False),
    ],
    ids=["no fault phase", "no settings", "no size before", "pods lost", "endpoints lost", "sizes lost"],
)
def test_missing_data_is_inconclusive(story: Story) -> None:
    assert judge(story)[0] is INCONCLUSIVE


def test_autoscaler_that_cannot_compute_gives_its_reason() -> None:
    story = Story(fault=60).add("scaling", HPA, 0.5, SETTINGS | {"metrics": []}).replicas_ready("a")
    active = {"status": "False", "reason": "FailedGetResourceMetric", "message": "missing request for cpu"}
    value = {"current": 1, "desired": 0, "min": 1, "max": 4, "conditions": {"ScalingActive": active}}
    story.add("autoscalers", HPA, 1.0, value)
    assert ScaleOut(of=HPA).unready(story.timeline) == ""
    verdict, reason = judge(story)
    assert verdict is BROKEN
    assert "ScalingActive is False: FailedGetResourceMetric: missing request for cpu" in reason


def test_a_twin_does_not_wait_beyond_the_limit() -> None:
    assert ScaleOut(of=HPA).overdue(scaled(served=None).timeline)
    assert not ScaleOut(of=HPA, slack="60s").overdue(scaled(served=None).timeline)


def test_fault_and_recovery_wait_for_the_new_replica() -> None:
    objective = ScaleOut(of=HPA)
    assert objective.awaits(Story(fault=60).timeline) == "no new replica of hpa/podinfo serves yet"
    assert objective.awaits(scaled(served=None).timeline) == "no new replica of hpa/podinfo serves yet"
    assert objective.pending(scaled(served=None).timeline) != ""
    assert objective.awaits(scaled().timeline) == ""


def test_settings_are_awaited_before_the_baseline() -> None:
    story = desired(Story(), 1.0, None)
    assert "has not computed its desired replicas yet" in ScaleOut(of=HPA).unready(story.timeline)


WORKER = "deployment/podinfo"
KEDA: dict[str, Any] = SETTINGS | {"metrics": [], "external": True, "polling": 2.0}


def size(story: Story, at: float, number: int) -> Story:
    return story.add("workloads", WORKER, at, {"desired": number, "replicas": number, "ready": 0})


def from_zero(*, served: float) -> Story:
    """The queue fills at 10 s, KEDA adds the first replica at 11 s, and the autoscaler sees it at 14 s."""
    story = Story(fault=60).add("scaling", HPA, 0.5, KEDA)
    disabled = {"status": "False", "reason": "ScalingDisabled", "message": "the replica count is zero"}
    desired(size(story, 1.0, 0), 1.0, 0, ScalingActive=disabled)
    size(story, 11.0, 1).pod(11.1, "podinfo-b", "b", ready=False, event="ADDED", node="", unreported=True)
    desired(story, 14.0, 1)
    return story.pod(served, "podinfo-b", "b", started=12.0, since=12.5)


def test_external_metric_has_the_declared_age() -> None:
    (metrics, autoscaler, *_) = reaction(KEDA, metric=7.0)
    assert (metrics.seconds, metrics.formula) == (7.0, "external metric 7 s")
    assert (autoscaler.seconds, autoscaler.formula) == (5.0, "HPA sync period 5 s")


@pytest.mark.parametrize(
    ("served", "fields", "verdict"),
    # 2 s of polling, 5 s for the start and 3 s for the probe: 10 s, and 5 s of slack.
    [(25.0, {}, HELD), (25.1, {}, BROKEN), (27.0, {"metric": "2s"}, HELD), (20.5, {"slack": "1s"}, HELD)],
)
def test_first_replica_of_none_has_the_polling_interval(
    served: float, fields: dict[str, Any], verdict: Verdict
) -> None:
    assert judge(from_zero(served=served), **fields)[0] is verdict


def test_first_replica_of_none_is_added_by_keda() -> None:
    """Three seconds before the autoscaler knows of it."""
    finding = ScaleOut(of=HPA).judge(from_zero(served=13.0).timeline)
    assert (finding.verdict, finding.observed) == (HELD, 3.0)
    assert finding.detail["autoscaler"] == (
        "1 s (metrics and autoscaler 1 s), model at most 2 s: KEDA's polling interval 2 s"
    )


def test_with_keda_the_watch_on_workloads_must_be_whole() -> None:
    story = Story(fault=60).add("scaling", HPA, 0.5, KEDA)
    assert judge(size(story, 1.0, 0))[0] is BROKEN
    assert judge(story.gap("workloads", 24.0, 25.0, complete=False))[0] is INCONCLUSIVE

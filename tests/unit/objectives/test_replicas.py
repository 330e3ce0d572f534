"""Replicas: reached in time, within bounds at every observation, settled in time."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.invariant import Invariant
from harness.objectives.replicas import Replicas
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
HPA = "hpa/podinfo"


def sizes(*seen: tuple[float, int, int], story: Story | None = None) -> Story:
    """What the autoscaler said: when, current, desired. Fault phase from 10 s, recovery from 30 s, all over at 65 s."""
    story = story or Story(fault=20)
    for at, current, desired in seen:
        story.add("autoscalers", HPA, at, {"current": current, "desired": desired, "min": 1, "max": 5})
    return story


RAMP = ((1, 1, 1), (18, 1, 3), (22, 3, 3), (24, 4, 4), (40, 4, 1), (44, 1, 1))


def judge(story: Story, **fields: object) -> tuple[Verdict, str]:
    finding = Replicas(of=HPA, **fields).judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("limit", "verdict"), [("12s", HELD), ("11.9s", BROKEN)])
def test_reaches_counts_ready_replicas_from_the_fault_start(limit: str, verdict: Verdict) -> None:
    finding = Replicas(of=HPA, reaches=3, within=limit).judge(sizes(*RAMP).timeline)
    assert finding.verdict is verdict
    assert (finding.observed, finding.unit) == (12.0, "s")


def test_target_never_reached_is_broken_once_watched_long_enough() -> None:
    story = sizes((1, 1, 1), (20, 2, 2))
    assert judge(story, reaches=3, within="54s")[0] is BROKEN
    assert judge(story, reaches=3, within="56s")[0] is INCONCLUSIVE
    assert "the maximum was 2" in judge(story, reaches=3, within="10s")[1]


def test_count_reached_before_the_fault_is_no_growth() -> None:
    assert judge(sizes((1, 3, 3)), reaches=3, within="10s")[0] is INCONCLUSIVE


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({"never_above": 4}, HELD),
        ({"never_above": 3}, BROKEN),
        ({"never_below": 1}, HELD),
        ({"never_below": 2}, BROKEN),
    ],
)
def test_bounds_hold_at_every_observation(fields: dict[str, int], verdict: Verdict) -> None:
    assert judge(sizes(*RAMP), **fields)[0] is verdict


def test_desired_replicas_must_stay_within_the_bounds() -> None:
    assert judge(sizes((1, 1, 1), (20, 1, 6), (21, 1, 2)), never_above=4)[0] is BROKEN


def test_state_before_the_fault_counts_only_while_in_force() -> None:
    assert judge(sizes((1, 9, 9), (5, 2, 2)), never_above=4)[0] is HELD
    assert judge(sizes((1, 9, 9)), never_above=4)[0] is BROKEN


def test_states_hidden_by_a_broken_watch_are_inconclusive() -> None:
    hidden = sizes(*RAMP).gap("autoscalers", 20, 21, complete=False)
    assert judge(hidden, never_above=4)[0] is INCONCLUSIVE
    assert judge(hidden, never_above=3)[0] is BROKEN
    assert judge(sizes(*RAMP).gap("autoscalers", 20, 21), never_above=4)[0] is HELD


@pytest.mark.parametrize(("limit", "verdict"), [("14s", HELD), ("13s", BROKEN)])
def test_settling_counts_from_the_start_of_the_recovery_phase(limit: str, verdict: Verdict) -> None:
    finding = Replicas(of=HPA, settles_to=1, settles_within=limit).judge(sizes(*RAMP).timeline)
    assert (finding.verdict, finding.observed) == (verdict, 14.0)


def test_settled_then_changed_is_not_settled() -> None:
    story = sizes(*RAMP, (60, 2, 2))
    assert judge(story, settles_to=1, settles_within="20s")[0] is BROKEN
    assert judge(story, settles_to=1, settles_within="40s")[0] is INCONCLUSIVE


def test_unchanged_count_is_no_settling() -> None:
    assert judge(sizes((1, 1, 1), (20, 1, 1)), settles_to=1, settles_within="20s")[0] is INCONCLUSIVE


def test_one_broken_requirement_breaks_the_objective() -> None:
    verdict, reason = judge(sizes(*RAMP), reaches=3, within="60s", never_above=3, settles_to=1, settles_within="60s")
    assert verdict is BROKEN
    assert "had a maximum of 4 replicas (at 24 s), required: never above 3" in reason


def test_all_demands_together_hold() -> None:
    fields = {"reaches": 3, "within": "60s", "neverAbove": 4, "neverBelow": 1, "settlesTo": 1, "settlesWithin": "60s"}
    assert judge(sizes(*RAMP), **fields)[0] is HELD


def test_lower_bound_counts_ready_replicas_and_upper_bound_all() -> None:
    story = Story()
    for at, ready, replicas in ((1, 2, 2), (12, 2, 3), (15, 3, 3)):
        story.add("workloads", PODINFO, at, {"ready": ready, "replicas": replicas, "desired": 3})
    finding = Replicas(of=PODINFO, reaches=3, within="5s", neverAbove=3, neverBelow=2).judge(story.timeline)
    assert (finding.verdict, finding.observed, finding.samples) == (HELD, 5.0, 3)
    assert Replicas(of=PODINFO, neverBelow=3).judge(story.timeline).verdict is BROKEN


@pytest.mark.parametrize(
    "story",
    [
        Story(),
        Story(fault=0, recovery=0, settle=0),
        sizes(*RAMP, story=Story(fault=0, recovery=0, settle=0)),
        Story().error("autoscalers", HPA, 20, "403"),
        sizes((1, 1, 1)).gap("autoscalers", 20),
    ],
)
def test_missing_data_is_inconclusive(story: Story) -> None:
    fields = {"reaches": 3, "within": "10s", "neverAbove": 4, "settlesTo": 1, "settlesWithin": "10s"}
    assert judge(story, **fields)[0] is INCONCLUSIVE


def test_watch_broken_before_settling_is_inconclusive() -> None:
    story = sizes((1, 1, 1), (20, 3, 3)).gap("autoscalers", 35)
    assert "was interrupted before hpa/podinfo settled" in judge(story, settles_to=1, settles_within="10s")[1]


@pytest.mark.parametrize("ended", [None, 55.0])
def test_settling_with_missing_later_states_is_inconclusive(ended: float | None) -> None:
    """To have settled too late already stays so, and what a relist told is seen at its instant."""
    story = sizes(*RAMP).gap("autoscalers", 50, ended, complete=False)
    verdict, why = judge(story, settles_to=1, settles_within="14s")
    assert verdict is INCONCLUSIVE
    assert "a later change may have been missed" in why
    assert judge(story, settles_to=1, settles_within="13s")[0] is BROKEN
    assert judge(sizes(*RAMP).gap("autoscalers", 50, 55), settles_to=1, settles_within="14s")[0] is HELD
    relisted = sizes(*RAMP).gap("autoscalers", 43, 44, complete=False)
    assert judge(relisted, settles_to=1, settles_within="14s")[0] is HELD


def test_the_recovery_phase_is_pending_until_it_settled() -> None:
    objective = Replicas(of=HPA, settles_to=1, settles_within="20s")
    assert objective.pending(sizes(*RAMP[:-1]).timeline) == "hpa/podinfo has 4 replicas, must settle to 1"
    assert objective.overdue(sizes(*RAMP[:-1]).timeline)
    assert not Replicas(of=HPA, settles_to=1, settles_within="10m").overdue(sizes(*RAMP[:-1]).timeline)
    assert objective.pending(sizes(*RAMP).timeline) == ""
    assert Replicas(of=HPA, never_above=4).pending(sizes(*RAMP[:-1]).timeline) == ""


def test_autoscaler_with_unknown_targets_is_never_settled() -> None:
    """Its last numbers are the right ones, but it cannot read its metrics any more."""
    story, objective = sizes(*RAMP), Replicas(of=HPA, settles_to=1, settles_within="30s")
    active = {"status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}
    value = {"current": 1, "desired": 1, "min": 1, "max": 5, "conditions": {"ScalingActive": active}}
    story.add("autoscalers", HPA, 45.0, value)
    assert objective.pending(story.timeline).endswith("ScalingActive is False: FailedGetResourceMetric: no metrics")
    assert objective.judge(story.timeline).verdict is INCONCLUSIVE


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"neverAbove": 4}, "Field required"),
        ({"of": "podinfo", "neverAbove": 4}, "found 'podinfo', expected hpa/NAME or deployment/NAME"),
        ({"of": HPA}, "found no requirement"),
        ({"of": HPA, "reaches": 3}, "found one of reaches and within"),
        ({"of": HPA, "neverAbove": 3, "within": "3s"}, "found one of reaches and within"),
        (
            {"of": "deployment/podinfo", "resumesWithin": "9s"},
            "found resumesWithin for deployment/podinfo",
        ),
        ({"of": HPA, "settlesTo": 3}, "found one of settlesTo and settlesWithin"),
        ({"of": HPA, "neverAbove": -1}, "greater than or equal to 0"),
        ({"of": HPA, "reaches": 5, "within": "9s", "neverAbove": 4}, "found reaches: 5, expected it between"),
        ({"of": HPA, "settlesTo": 1, "settlesWithin": "9s", "neverBelow": 2}, "found settlesTo: 1, expected it"),
    ],
)
def test_impossible_parameters_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Replicas(**fields)


FRESH = {"current": None, "desired": 0, "min": 1, "max": 5, "conditions": {}}
STEADY = {"current": 1, "desired": 1, "min": 1, "max": 5}


def test_a_fresh_autoscaler_has_not_settled() -> None:
    """It goes from no number to one replica, which is where the workload was all the time."""
    story = Story(fault=20).add("autoscalers", HPA, 11.4, FRESH).add("autoscalers", HPA, 26.0, STEADY)
    verdict, reason = judge(story, settlesTo=1, settlesWithin="20s")
    assert verdict is INCONCLUSIVE
    assert "never had a number of replicas other than 1" in reason


def test_a_fresh_autoscaler_does_not_want_zero_replicas() -> None:
    story = Story(fault=20).add("autoscalers", HPA, 1.4, FRESH)
    verdict, reason = judge(story, neverBelow=1)
    assert verdict is INCONCLUSIVE
    assert "hpa/podinfo has not computed its desired replicas yet" in reason
    assert judge(sizes((1, 2, 2)), neverBelow=1)[0] is HELD


def test_an_autoscaler_may_want_zero_where_it_is_allowed_to() -> None:
    value = STEADY | {"current": 0, "desired": 0}
    disabled = {"ScalingActive": {"status": "False", "reason": "ScalingDisabled"}}
    for allowed in ({"min": 0}, {"conditions": disabled}):
        story = Story(fault=20).add("autoscalers", HPA, 1.0, value | allowed)
        assert judge(story, neverBelow=1)[0] is BROKEN
        assert judge(story, neverAbove=1)[0] is HELD


def test_failed_reading_is_a_longer_gap_between_readings() -> None:
    """An autoscaler looks every 15 s; what it saw meanwhile still counts, and so does a longer time."""
    failed = {"ScalingActive": {"status": "False", "reason": "FailedGetResourceMetric"}}
    for back, verdict in ((35.0, HELD), (36.0, INCONCLUSIVE)):
        story = sizes((1, 2, 2)).add("autoscalers", HPA, 15.5, STEADY | {"conditions": failed})
        story.add("autoscalers", HPA, back, STEADY)
        assert judge(story, neverAbove=4)[0] is verdict
        assert judge(story, neverBelow=2)[0] is BROKEN


def test_a_limit_of_the_autoscaler_is_named() -> None:
    limited = {"ScalingLimited": {"status": "True", "reason": "TooManyReplicas", "message": "more than the maximum"}}
    story = Story(fault=20).add("autoscalers", HPA, 1.0, STEADY)
    story.add("autoscalers", HPA, 20.0, STEADY | {"current": 2, "desired": 2, "max": 2, "conditions": limited})
    verdict, reason = judge(story, reaches=3, within="30s")
    assert verdict is BROKEN
    assert reason.endswith("the maximum was 2; ScalingLimited is True: TooManyReplicas: more than the maximum")


def test_growth_out_of_the_unknown_is_not_shown() -> None:
    story = Story(fault=20).add("autoscalers", HPA, 1.0, FRESH)
    story.add("autoscalers", HPA, 20.0, STEADY | {"current": 3, "desired": 3})
    assert judge(story, reaches=3, within="30s")[0] is INCONCLUSIVE


def test_settled_at_an_unknown_time_has_bounds() -> None:
    unable = {"AbleToScale": {"status": "False", "reason": "FailedGetScale"}}
    story = sizes((1, 1, 1), (20, 3, 3), (40, 1, 1)).add("autoscalers", HPA, 41.0, STEADY | {"conditions": unable})
    story.add("autoscalers", HPA, 63.0, STEADY)
    for limit, verdict in (("33s", HELD), ("32s", INCONCLUSIVE), ("10s", INCONCLUSIVE), ("9s", BROKEN)):
        assert judge(story, settlesTo=1, settlesWithin=limit)[0] is verdict


def test_baseline_waits_for_the_first_autoscaler_reading() -> None:
    objective = Replicas(of=HPA, neverAbove=4)
    story = Story().add("autoscalers", HPA, 1.0, FRESH)
    assert objective.unready(story.timeline) == "hpa/podinfo has not computed its desired replicas yet"
    assert Invariant(of=HPA, desired="<= 4").unready(story.timeline) == objective.unready(story.timeline)
    story.add("autoscalers", HPA, 2.0, STEADY)
    assert objective.unready(story.timeline) == ""
    assert objective.unready(Story().timeline) == ""
    assert Invariant(of="nodes", ready=">= 1").unready(Story().timeline) == ""


LOST = STEADY | {"conditions": {"ScalingActive": {"status": "False", "reason": "FailedGetResourceMetric"}}}


def outage(*back: float) -> Story:
    """It cannot read its metrics from 15 s on, and can from each of these times on."""
    story = sizes((1, 1, 1)).add("autoscalers", HPA, 15.0, LOST)
    for at in back:
        story.add("autoscalers", HPA, at, STEADY)
    return story


@pytest.mark.parametrize(
    ("story", "verdict", "reason"),
    [
        (outage(34.0), HELD, "again 4 s after the start of the recovery phase"),
        # Not for 20 s, which is a lapse elsewhere.
        (outage(29.0), HELD, "0 ms after the start of the recovery phase"),
        (outage(36.0), BROKEN, "again 6 s after the start of the recovery phase"),
        (outage(), BROKEN, "ScalingActive is False: FailedGetResourceMetric"),
        (outage(34.0).add("autoscalers", HPA, 50.0, LOST), BROKEN, "ScalingActive is False"),
        (sizes(*RAMP), INCONCLUSIVE, "was not observed without its desired replicas, so it did not resume"),
        (outage(34.0).gap("autoscalers", 40, 41, complete=False), INCONCLUSIVE, "a later loss may have been missed"),
        (outage().gap("autoscalers", 40), INCONCLUSIVE, "was interrupted before hpa/podinfo computed again"),
    ],
)
def test_autoscaler_resumes_once_it_computes_again(story: Story, verdict: Verdict, reason: str) -> None:
    found = judge(story, resumesWithin="5s")
    assert found[0] is verdict, found
    assert reason in found[1]


def test_recovery_waits_until_the_autoscaler_resumes() -> None:
    objective = Replicas(of=HPA, resumesWithin="5s")
    assert "does not compute its desired replicas: ScalingActive is False" in objective.pending(outage().timeline)
    assert objective.pending(outage(34.0).timeline) == ""
    assert not objective.checks_control

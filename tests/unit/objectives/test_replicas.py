"""Replicas: reached in time, within bounds at every observation, settled in time."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.objectives.replicas import Replicas
from harness.verdict import Verdict
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
def test_reaches_counts_from_the_start_of_the_fault_phase_and_needs_the_replicas_not_the_wish(
    limit: str, verdict: Verdict
) -> None:
    finding = Replicas(of=HPA, reaches=3, within=limit).judge(sizes(*RAMP).timeline)
    assert finding.verdict is verdict
    assert (finding.observed, finding.unit) == (12.0, "s")


def test_never_reached_is_broken_once_watched_for_longer_than_the_limit() -> None:
    story = sizes((1, 1, 1), (20, 2, 2))
    assert judge(story, reaches=3, within="54s")[0] is BROKEN
    assert judge(story, reaches=3, within="56s")[0] is INCONCLUSIVE
    assert "the most was 2" in judge(story, reaches=3, within="10s")[1]


def test_to_have_been_there_before_is_no_growth() -> None:
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


def test_what_was_wished_for_may_not_pass_a_bound_either() -> None:
    assert judge(sizes((1, 1, 1), (20, 1, 6), (21, 1, 2)), never_above=4)[0] is BROKEN


def test_what_was_over_before_the_fault_phase_counts_only_if_it_was_still_in_force() -> None:
    assert judge(sizes((1, 9, 9), (5, 2, 2)), never_above=4)[0] is HELD
    assert judge(sizes((1, 9, 9)), never_above=4)[0] is BROKEN


def test_states_that_a_broken_watch_hid_might_have_passed_a_bound() -> None:
    hidden = sizes(*RAMP).gap("autoscalers", 20, 21, complete=False)
    assert judge(hidden, never_above=4)[0] is INCONCLUSIVE
    assert judge(hidden, never_above=3)[0] is BROKEN
    assert judge(sizes(*RAMP).gap("autoscalers", 20, 21), never_above=4)[0] is HELD


@pytest.mark.parametrize(("limit", "verdict"), [("14s", HELD), ("13s", BROKEN)])
def test_settling_counts_from_the_start_of_the_recovery_phase(limit: str, verdict: Verdict) -> None:
    finding = Replicas(of=HPA, settles_to=1, settles_within=limit).judge(sizes(*RAMP).timeline)
    assert (finding.verdict, finding.observed) == (verdict, 14.0)


def test_settled_and_left_again_is_not_settled() -> None:
    story = sizes(*RAMP, (60, 2, 2))
    assert judge(story, settles_to=1, settles_within="20s")[0] is BROKEN
    assert judge(story, settles_to=1, settles_within="40s")[0] is INCONCLUSIVE


def test_never_to_have_left_is_no_settling() -> None:
    assert judge(sizes((1, 1, 1), (20, 1, 1)), settles_to=1, settles_within="20s")[0] is INCONCLUSIVE


def test_one_broken_demand_breaks_it_and_speaks_for_it() -> None:
    verdict, reason = judge(sizes(*RAMP), reaches=3, within="60s", never_above=3, settles_to=1, settles_within="60s")
    assert verdict is BROKEN
    assert "4 replicas at most (at 24.00 s), never above 3" in reason


def test_all_demands_together_hold() -> None:
    fields = {"reaches": 3, "within": "60s", "neverAbove": 4, "neverBelow": 1, "settlesTo": 1, "settlesWithin": "60s"}
    assert judge(sizes(*RAMP), **fields)[0] is HELD


def test_a_workload_counts_ready_replicas_from_below_and_all_from_above() -> None:
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
def test_without_data_nothing_is_held_or_broken(story: Story) -> None:
    fields = {"reaches": 3, "within": "10s", "neverAbove": 4, "settlesTo": 1, "settlesWithin": "10s"}
    assert judge(story, **fields)[0] is INCONCLUSIVE


def test_a_watch_that_broke_before_the_settling_was_seen_is_inconclusive() -> None:
    story = sizes((1, 1, 1), (20, 3, 3)).gap("autoscalers", 35)
    assert "broke before hpa/podinfo settled" in judge(story, settles_to=1, settles_within="10s")[1]


@pytest.mark.parametrize("ended", [None, 55.0])
def test_settled_when_states_are_missing_afterwards_may_have_moved_again(ended: float | None) -> None:
    """To have settled too late already stays so, and what a relist told is seen at its instant."""
    story = sizes(*RAMP).gap("autoscalers", 50, ended, complete=False)
    verdict, why = judge(story, settles_to=1, settles_within="14s")
    assert verdict is INCONCLUSIVE
    assert "moved again unseen" in why
    assert judge(story, settles_to=1, settles_within="13s")[0] is BROKEN
    assert judge(sizes(*RAMP).gap("autoscalers", 50, 55), settles_to=1, settles_within="14s")[0] is HELD
    relisted = sizes(*RAMP).gap("autoscalers", 43, 44, complete=False)
    assert judge(relisted, settles_to=1, settles_within="14s")[0] is HELD


def test_the_recovery_phase_is_pending_until_it_settled() -> None:
    objective = Replicas(of=HPA, settles_to=1, settles_within="20s")
    assert objective.pending(sizes(*RAMP[:-1]).timeline) == "hpa/podinfo is at 4, to settle to 1"
    assert objective.pending(sizes(*RAMP).timeline) == ""
    assert Replicas(of=HPA, never_above=4).pending(sizes(*RAMP[:-1]).timeline) == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"neverAbove": 4}, "Field required"),
        ({"of": "podinfo", "neverAbove": 4}, "found 'podinfo', expected hpa/NAME or deployment/NAME"),
        ({"of": HPA}, "found no demand"),
        ({"of": HPA, "reaches": 3}, "found one of reaches and within"),
        ({"of": HPA, "neverAbove": 3, "within": "3s"}, "found one of reaches and within"),
        ({"of": HPA, "settlesTo": 3}, "found one of settlesTo and settlesWithin"),
        ({"of": HPA, "neverAbove": -1}, "greater than or equal to 0"),
        ({"of": HPA, "reaches": 5, "within": "9s", "neverAbove": 4}, "found reaches: 5, expected it between"),
        ({"of": HPA, "settlesTo": 1, "settlesWithin": "9s", "neverBelow": 2}, "found settlesTo: 1, expected it"),
    ],
)
def test_impossible_parameters_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Replicas(**fields)

"""The outcome of a progressive delivery, from the states of a Rollout that a watch has seen."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.rollout_ends import RolloutEnds
from tests.unit.timelines import Story

OF = "rollout/podinfo"


def state(current: str = "new", stable: str = "old", updated: int = 1, **fields: Any) -> dict[str, Any]:
    delivery = {"current": current, "stable": stable, "aborted": False, "paused": [], "message": ""}
    delivery |= {key: fields.pop(key) for key in tuple(fields) if key in delivery}
    return {"uid": "r", "desired": 5, "replicas": 5, "updated": updated, "delivery": delivery, **fields}


def story(*states: tuple[float, dict[str, Any]], undone: float = 20.0) -> Story:
    """A Rollout whose new version is injected at 10 s and undone, with these states in between."""
    found = Story(fault=undone - 10).injected(10.0, ("podinfo", "r"), undone=undone)
    found.add("workloads", OF, 1.0, state("old", updated=5))
    for at, value in states:
        found.add("workloads", OF, at, value)
    return found.add("workloads", OF, undone + 2, state("old", updated=5))


ABORTED = (15.0, state(updated=1, aborted=True, message="RolloutAborted: errors too high"))
PROMOTED = (15.0, state(stable="new", updated=5))
PAUSED = (15.0, state(paused=["InconclusiveAnalysisRun"]))
CANARY = (11.0, state())


@pytest.mark.parametrize(
    ("states", "outcome", "verdict", "reason"),
    [
        ((CANARY, ABORTED), "aborted", Verdict.HELD, "was aborted"),
        ((CANARY, PROMOTED), "promoted", Verdict.HELD, "was promoted"),
        ((CANARY, PAUSED), "inconclusive", Verdict.HELD, "was inconclusive"),
        (
            (CANARY, PROMOTED),
            "aborted",
            Verdict.BROKEN,
            "was promoted 4.9 s to 5 s after the injection, expected: aborted",
        ),
        ((CANARY, ABORTED), "promoted", Verdict.BROKEN, "expected: promoted; RolloutAborted: errors too high"),
        ((CANARY, PAUSED, (18.0, PROMOTED[1])), "promoted", Verdict.BROKEN, "was inconclusive"),
        ((CANARY,), "aborted", Verdict.BROKEN, "not observed in the 9.9 s"),
    ],
)
def test_first_outcome_decides(states: Any, outcome: str, verdict: Verdict, reason: str) -> None:
    finding = RolloutEnds(of=OF, outcome=outcome, within="8s").judge(story(*states).timeline)
    assert (finding.verdict, reason in finding.reason) == (verdict, True), finding.reason


def test_outcome_after_the_limit_is_broken() -> None:
    finding = RolloutEnds(of=OF, outcome="aborted", within="2s").judge(story(CANARY, ABORTED).timeline)
    assert finding.verdict is Verdict.BROKEN
    assert "at most 2 s was allowed" in finding.reason


def test_other_pauses_are_no_outcome() -> None:
    step = (12.0, state(paused=["CanaryPauseStep"]))
    finding = RolloutEnds(of=OF, outcome="aborted", within="8s").judge(story(CANARY, step, ABORTED).timeline)
    assert finding.verdict is Verdict.HELD


@pytest.mark.parametrize(("most", "verdict"), [(1, Verdict.HELD), (0, Verdict.BROKEN)])
def test_replicas_of_the_new_version_are_limited(most: int, verdict: Verdict) -> None:
    objective = RolloutEnds(of=OF, outcome="aborted", within="8s", maxUpdated=most)
    assert objective.judge(story(CANARY, ABORTED).timeline).verdict is verdict


def test_replicas_of_the_old_version_do_not_count() -> None:
    behind = (10.2, state("old", updated=5, generation=2, observed_generation=1))
    objective = RolloutEnds(of=OF, outcome="aborted", within="8s", maxUpdated=1)
    assert objective.judge(story(behind, CANARY, ABORTED).timeline).verdict is Verdict.HELD


def test_return_to_the_stable_version_is_no_promotion() -> None:
    finding = RolloutEnds(of=OF, outcome="promoted", within="8s").judge(story(CANARY, undone=13.0).timeline)
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_rollout_that_was_never_seen_is_inconclusive() -> None:
    found = Story().injected(10.0, ("podinfo", "r"), undone=20.0)
    assert RolloutEnds(of=OF, outcome="promoted", within="8s").judge(found.timeline).verdict is Verdict.INCONCLUSIVE


def test_missed_states_make_it_inconclusive() -> None:
    found = story(CANARY, ABORTED).gap("workloads", 12.0, 14.0, complete=False)
    assert RolloutEnds(of=OF, outcome="aborted", within="8s").judge(found.timeline).verdict is Verdict.INCONCLUSIVE


def test_deleted_rollout_is_broken() -> None:
    gone = (15.0, {**state(), "event": "DELETED"})
    finding = RolloutEnds(of=OF, outcome="aborted", within="8s").judge(story(CANARY, gone).timeline)
    assert (finding.verdict, finding.reason) == (Verdict.BROKEN, f"{OF} was deleted")


def test_it_waits_for_an_outcome() -> None:
    objective = RolloutEnds(of=OF, outcome="promoted", within="8s")
    assert objective.awaits(story(CANARY, undone=14.0).timeline) == f"{OF} was not promoted"
    assert objective.awaits(story(CANARY, ABORTED).timeline) == ""


def test_only_rollouts_are_accepted() -> None:
    with pytest.raises(ValidationError, match="expected rollout/NAME"):
        RolloutEnds(of="deployment/podinfo", outcome="aborted", within="8s")

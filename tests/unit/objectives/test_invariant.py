"""Invariants: every state that was shown counts, and one that nobody could see makes it INCONCLUSIVE."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.objectives.invariant import Invariant
from harness.verdict import Verdict
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def workload(*seen: tuple[float, int, int]) -> Story:
    """(at, available, replicas) of a Deployment of three."""
    story = Story()
    for at, available, replicas in seen:
        story.add("workloads", PODINFO, at, {"available": available, "replicas": replicas, "desired": 3})
    return story


def test_one_observation_below_is_enough() -> None:
    story = workload((1.0, 3, 3), (12.0, 1, 3), (12.1, 3, 3))
    finding = Invariant(of=PODINFO, available=">= 2").judge(story.timeline)
    assert (finding.verdict, finding.observed, finding.limit, finding.margin) == (BROKEN, 1, 2, -1)
    assert finding.reason == "deployment/podinfo had 1 available at 12.00 s, >= 2 asked for at every moment"


def test_the_first_moment_at_which_it_did_not_hold_is_told() -> None:
    story = workload((1.0, 3, 3), (12.0, 1, 3), (15.0, 0, 3))
    assert "had 1 available at 12.00 s" in Invariant(of=PODINFO, available=">= 2").judge(story.timeline).reason


def test_what_is_in_force_when_a_phase_begins_counts() -> None:
    story = workload((1.0, 1, 3), (30.0, 3, 3))
    assert Invariant(of=PODINFO, available=">= 2", phases=["fault"]).judge(story.timeline).verdict is BROKEN
    assert Invariant(of=PODINFO, available=">= 2", phases=["settle"]).judge(story.timeline).verdict is HELD


def test_other_phases_do_not_count() -> None:
    story = workload((1.0, 3, 3), (25.0, 0, 3), (26.0, 3, 3))
    assert Invariant(of=PODINFO, available=">= 2", phases=["fault"]).judge(story.timeline).verdict is HELD
    assert Invariant(of=PODINFO, available=">= 2").judge(story.timeline).verdict is BROKEN
    assert Invariant(of=PODINFO, available=">= 2").judge(story.timeline, ["baseline"]).verdict is HELD


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("<= desired + 1", HELD),
        ("<= desired", BROKEN),
        ("<desired+2", HELD),
        (">= desired - 0", HELD),
        ("== 4", BROKEN),
        ("<= 4", HELD),
        ("< 4", BROKEN),
        ("> 2", HELD),
        ("> 3", BROKEN),
    ],
)
def test_conditions(condition: str, verdict: Verdict) -> None:
    story = workload((1.0, 3, 3), (12.0, 3, 4), (14.0, 3, 3))
    assert Invariant(of=PODINFO, total=condition).judge(story.timeline).verdict is verdict


def test_the_worst_of_several_conditions_speaks() -> None:
    story = workload((1.0, 3, 3), (12.0, 2, 5))
    finding = Invariant(of=PODINFO, available=">= 2", total="<= desired + 1").judge(story.timeline)
    assert finding.verdict is BROKEN
    assert "had 5 total" in finding.reason


@pytest.mark.parametrize(("complete", "verdict"), [(True, HELD), (False, INCONCLUSIVE)])
def test_a_watch_that_may_have_missed_a_state_holds_nothing(complete: bool, verdict: Verdict) -> None:
    story = workload((1.0, 3, 3)).gap("workloads", 12.0, 14.0, complete=complete)
    assert Invariant(of=PODINFO, available=">= 2").judge(story.timeline).verdict is verdict


def test_a_watch_that_did_not_come_back_holds_nothing_but_breaks_what_it_saw() -> None:
    assert (
        Invariant(of=PODINFO, available=">= 2").judge(workload((1.0, 3, 3)).gap("workloads", 12.0).timeline).verdict
        is INCONCLUSIVE
    )
    story = workload((1.0, 3, 3), (11.0, 1, 3)).gap("workloads", 12.0)
    assert Invariant(of=PODINFO, available=">= 2").judge(story.timeline).verdict is BROKEN


def test_endpoints_are_counted() -> None:
    story = Story().endpoints(1.0, "a", "b", "c").endpoints(12.0, "a")
    finding = Invariant(of="service/podinfo", ready=">= 2").judge(story.timeline)
    assert (finding.verdict, finding.observed) == (BROKEN, 1)


def test_nodes_are_counted_together() -> None:
    story = Story()
    for at, name, ready in ((1.0, "one", True), (1.1, "two", True), (12.0, "two", False), (15.0, "two", True)):
        story.add("nodes", name, at, {"ready": ready, "schedulable": True, "zone": ""})
    assert Invariant(of="nodes", ready=">= 2").judge(story.timeline).verdict is BROKEN
    assert Invariant(of="nodes", ready=">= 1", schedulable="== 2").judge(story.timeline).verdict is HELD


def test_a_node_that_is_gone_counts_for_nothing() -> None:
    """A deleted node's last state is told like any other; it must not go on counting as one of so many."""
    story = Story()
    for at, name, gone in ((1.0, "one", False), (1.1, "two", False), (12.0, "two", True)):
        story.add("nodes", name, at, {"ready": not gone, "schedulable": not gone, "zone": "", "gone": gone})
    finding = Invariant(of="nodes", total=">= 2").judge(story.timeline)
    assert (finding.verdict, finding.observed) == (BROKEN, 1)


def test_an_autoscaler_never_wants_more_than_it_may() -> None:
    story = Story().add("autoscalers", "hpa/podinfo", 1.0, {"current": 1, "desired": 1})
    story.add("autoscalers", "hpa/podinfo", 12.0, {"current": 1, "desired": 7})
    assert Invariant(of="hpa/podinfo", desired="<= 5").judge(story.timeline).verdict is BROKEN


def test_a_breach_is_seen_while_the_fault_is_there() -> None:
    objective = Invariant(of=PODINFO, available=">= 2")
    assert objective.breached(workload((1.0, 3, 3)).timeline, {}) == ""
    assert "had 1 available" in objective.breached(workload((1.0, 3, 3), (12.0, 1, 3)).timeline, {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"of": "pod/x", "ready": ">= 1"}, "found 'pod/x', expected service/NAME"),
        ({"of": PODINFO}, "found no condition"),
        ({"of": "hpa/x", "ready": ">= 1"}, "found ready for hpa/x, expected one or more of current, desired"),
        ({"of": "nodes", "ready": ">= desired"}, "relative to desired"),
        ({"of": PODINFO, "ready": "many"}, "found 'many', expected a condition such as"),
        ({"of": PODINFO, "ready": "!= 2"}, "expected a condition such as"),
    ],
)
def test_impossible_conditions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Invariant(**fields)
    assert message in str(raised.value)

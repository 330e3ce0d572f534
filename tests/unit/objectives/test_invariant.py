"""Invariants: every state that was shown counts, and one that nobody could see makes it INCONCLUSIVE."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.verdict import Verdict
from harness.objectives.invariant import Invariant
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
    assert finding.reason == "deployment/podinfo had 1 available at 12 s, >= 2 required at every moment"


def test_first_violation_is_reported() -> None:
    story = workload((1.0, 3, 3), (12.0, 1, 3), (15.0, 0, 3))
    assert "had 1 available at 12 s" in Invariant(of=PODINFO, available=">= 2").judge(story.timeline).reason


def test_state_at_the_phase_start_counts() -> None:
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


def test_worst_condition_decides() -> None:
    story = workload((1.0, 3, 3), (12.0, 2, 5))
    finding = Invariant(of=PODINFO, available=">= 2", total="<= desired + 1").judge(story.timeline)
    assert finding.verdict is BROKEN
    assert "had 5 total" in finding.reason


@pytest.mark.parametrize(("complete", "verdict"), [(True, HELD), (False, INCONCLUSIVE)])
def test_watch_that_may_have_missed_a_state_never_holds(complete: bool, verdict: Verdict) -> None:
    story = workload((1.0, 3, 3)).gap("workloads", 12.0, 14.0, complete=complete)
    assert Invariant(of=PODINFO, available=">= 2").judge(story.timeline).verdict is verdict


def test_interrupted_watch_never_holds_but_keeps_violations() -> None:
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


def test_deleted_node_counts_as_zero() -> None:
    """A deleted node's last state is told like any other; it must not go on counting as one of so many."""
    story = Story()
    for at, name, gone in ((1.0, "one", False), (1.1, "two", False), (12.0, "two", True)):
        story.add("nodes", name, at, {"ready": not gone, "schedulable": not gone, "zone": "", "gone": gone})
    finding = Invariant(of="nodes", total=">= 2").judge(story.timeline)
    assert (finding.verdict, finding.observed) == (BROKEN, 1)


def test_desired_autoscaler_replicas_are_bounded() -> None:
    story = Story().add("autoscalers", "hpa/podinfo", 1.0, {"current": 1, "desired": 1})
    story.add("autoscalers", "hpa/podinfo", 12.0, {"current": 1, "desired": 7})
    assert Invariant(of="hpa/podinfo", desired="<= 5").judge(story.timeline).verdict is BROKEN


def test_breach_is_detected_during_the_fault() -> None:
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


def test_silent_node_is_unknown() -> None:
    story = Story()
    for at, name, ready in ((1.0, "one", True), (1.1, "two", True), (12.0, "two", False)):
        silent = {} if ready else {"unknown": True}
        story.add("nodes", name, at, {"ready": ready, "schedulable": True, "zone": "", "gone": False, **silent})
    assert Invariant(of="nodes", ready=">= 1").judge(story.timeline).verdict is HELD
    broken = Invariant(of="nodes", ready=">= 2").judge(story.timeline)
    assert broken.verdict is BROKEN
    assert broken.reason.endswith("the kubelet of two does not report")
    assert Invariant(of="nodes", ready="<= 1", phases=["settle"]).judge(story.timeline).verdict is INCONCLUSIVE
    assert Invariant(of="nodes", ready="== 1", phases=["settle"]).judge(story.timeline).verdict is INCONCLUSIVE
    assert Invariant(of="nodes", total="== 2").judge(story.timeline).verdict is HELD


def test_a_service_without_slices_has_no_known_endpoints() -> None:
    story = Story().endpoints(1.0, "a", "b").add("endpoints", "podinfo", 12.0, {"ready": [], "all": [], "gone": True})
    assert Invariant(of="service/podinfo", ready="<= 3").judge(story.timeline).verdict is INCONCLUSIVE
    found = Invariant(of="service/podinfo", ready=">= 1").judge(story.timeline)
    assert found.verdict is BROKEN
    assert "no longer has an EndpointSlice" in found.reason


def test_late_objects_were_not_watched_from_the_start() -> None:
    found = Invariant(of=PODINFO, available=">= 2").judge(workload((20.0, 3, 3)).timeline)
    assert found.verdict is INCONCLUSIVE
    assert "deployment/podinfo was first seen at 20 s" in found.reason
    assert (
        Invariant(of=PODINFO, available=">= 2", phases=["settle"]).judge(workload((20.0, 3, 3)).timeline).verdict
        is HELD
    )


def test_daemons_are_wanted_on_an_unknown_number_of_nodes() -> None:
    story = Story().add("workloads", "daemonset/agent", 1.0, {"desired": None, "replicas": 3})
    assert Invariant(of="daemonset/agent", total="<= desired + 1").judge(story.timeline).verdict is INCONCLUSIVE

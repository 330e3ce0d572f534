"""What the pods of a workload reserve comes within bounds in time: of all of them, or of the new ones."""

from __future__ import annotations

from typing import Any

from harness.model.verdict import Verdict
from harness.objectives.pod_resources import PodResources
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
OLD, NEW = {"cpu": 0.3}, {"cpu": 0.15}


def story() -> Story:
    """A fault phase from 10 s to 60 s, and the pods a and b with their old requests."""
    found = Story(fault=50)
    for uid in ("a", "b"):
        found.pod(1.0, f"podinfo-{uid}", uid, requests=OLD)
    return found


def judge(seen: Story, **fields: Any) -> tuple[Verdict, str]:
    finding = objective(**fields).judge(seen.timeline)
    return finding.verdict, finding.reason


def objective(**fields: Any) -> PodResources:
    base = {"of": PODINFO, "container": "app", "cpu": {"atLeast": "100m", "atMost": "200m"}, "within": "40s"}
    return PodResources(**(base | fields))


def test_pods_are_resized_in_place() -> None:
    seen = story().pod(30.0, "podinfo-a", "a", requests=NEW).pod(35.0, "podinfo-b", "b", requests=NEW)
    assert judge(seen)[0] is HELD
    assert "25 s after the start of the fault phase" in judge(seen)[1]


def test_pods_are_replaced() -> None:
    seen = story().pod(28.0, "podinfo-a", "a", deleting=True, requests=OLD).gone(30.0, "podinfo-a", "a")
    seen.pod(29.0, "podinfo-c", "c", event="ADDED", unreported=True).pod(31.0, "podinfo-c", "c", requests=NEW)
    assert judge(seen)[0] is BROKEN
    seen.gone(40.0, "podinfo-b", "b").pod(41.0, "podinfo-d", "d", requests=NEW)
    assert judge(seen)[0] is HELD


def test_pod_that_is_being_deleted_does_not_count() -> None:
    seen = story().pod(30.0, "podinfo-a", "a", requests=NEW)
    assert judge(seen.pod(31.0, "podinfo-b", "b", deleting=True, requests=OLD))[0] is HELD


def test_one_pod_outside_of_the_bounds_is_enough() -> None:
    verdict, reason = judge(story().pod(30.0, "podinfo-a", "a", requests=NEW))
    assert (verdict, "at the end: 300m cpu" in reason) == (BROKEN, True)


def test_only_new_pods_are_judged() -> None:
    assert judge(story(), newPods=True)[0] is INCONCLUSIVE
    killed = story().gone(20.0, "podinfo-a", "a").pod(21.0, "podinfo-c", "c", requests=NEW)
    assert judge(killed, newPods=True)[0] is HELD
    assert judge(killed)[0] is BROKEN
    assert judge(killed.pod(30.0, "podinfo-d", "d", requests=OLD), newPods=True)[0] is BROKEN


def test_pod_that_the_kubelet_did_not_report_is_unknown() -> None:
    seen = story().gone(20.0, "podinfo-a", "a").gone(20.0, "podinfo-b", "b")
    seen.pod(21.0, "podinfo-c", "c", requests=NEW)
    assert judge(seen)[0] is HELD
    assert judge(seen.pod(25.0, "podinfo-d", "d", unreported=True))[0] is INCONCLUSIVE
    assert judge(seen.pod(26.0, "podinfo-e", "e", requests=OLD))[0] is BROKEN


def test_no_pod_at_the_end_is_broken() -> None:
    assert judge(story().gone(20.0, "podinfo-a", "a").gone(20.0, "podinfo-b", "b"))[0] is BROKEN


def test_container_without_requests_reserves_nothing() -> None:
    assert judge(story(), container="other")[0] is INCONCLUSIVE
    assert judge(story(), memory={"atLeast": "1Mi"}, cpu=None)[0] is BROKEN


def test_fault_phase_waits_for_the_pods() -> None:
    assert "not yet" in objective().awaits(story().timeline)
    both = story().pod(30.0, "podinfo-a", "a", requests=NEW).pod(35.0, "podinfo-b", "b", requests=NEW)
    assert objective().awaits(both.timeline) == ""


def test_interrupted_watch_of_pods_is_inconclusive() -> None:
    seen = Story(fault=50).pod(1.0, "podinfo-a", "a", requests=NEW)
    assert judge(seen)[0] is HELD
    assert judge(seen.gap("pods", 20.0, 25.0, complete=False))[0] is INCONCLUSIVE

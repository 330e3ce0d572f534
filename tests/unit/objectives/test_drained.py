"""A drain evicts its pods in time, or is blocked."""

from __future__ import annotations

import pytest

from harness.model.timeline import Injection, Interval, Victim
from harness.model.verdict import Verdict
from harness.objectives.drained import Drained
from tests.unit.timelines import Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
NODE = Victim("Node", "node-1", "n")
PODS = (Victim("Pod", "one", "u1"), Victim("Pod", "two", "u2"))
EVIDENCE = "two stays: the drain was blocked by poddisruptionbudget/keep"


def drain(undone: float | None = 20.0, fault: str = "drain") -> Story:
    """Two pods that are to be evicted from 10 s on; uncordoned at 20 s."""
    story = Story(fault=15)
    undo = Interval(undone, undone + 0.1) if undone is not None else None
    injection = Injection(fault, (NODE, *PODS), Interval(10.0, 12.0), undo, proven=True, evidence=EVIDENCE)
    story.timeline.injections.append(injection)
    for pod in PODS:
        see(story, 1.0, pod.name)
    return story


def see(story: Story, at: float, name: str, event: str = "MODIFIED", deleting: bool = False) -> Story:
    uid = next(pod.uid for pod in PODS if pod.name == name)
    return story.add("pods", name, at, {"event": event, "uid": uid, "node": "node-1", "deleting": deleting})


def gone(story: Story, name: str, at: float, since: float | None = None) -> Story:
    see(story, at - 1 if since is None else since, name, deleting=True)
    return see(story, at, name, "DELETED")


def judge(story: Story, within: str = "8s") -> tuple[Verdict, str]:
    finding = Drained(within=within).judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(("limit", "verdict"), [("5s", HELD), ("4.9s", BROKEN)])
def test_slowest_pod_decides(limit: str, verdict: Verdict) -> None:
    found, why = judge(gone(gone(drain(), "one", 12.0), "two", 15.0), limit)
    assert found is verdict
    assert "the drain of node-1 removed 2 pods 5 s after its start" in why


def test_blocked_pod_breaks_with_the_evidence() -> None:
    found, why = judge(gone(drain(), "one", 12.0))
    assert found is BROKEN
    assert why.endswith(f"two stayed; evidence: {EVIDENCE}")


def test_pod_that_left_after_the_undo_was_not_drained() -> None:
    assert judge(gone(gone(drain(), "one", 12.0), "two", 25.0), "15s")[0] is INCONCLUSIVE
    assert judge(gone(gone(drain(), "one", 12.0), "two", 25.0), "9s")[0] is BROKEN


def test_pod_that_was_terminating_at_the_undo_counts() -> None:
    assert judge(gone(gone(drain(), "one", 12.0), "two", 22.0, since=19.0), "13s")[0] is HELD


def test_drain_that_was_undone_early_is_inconclusive() -> None:
    assert judge(drain(undone=13.0))[0] is INCONCLUSIVE


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story(), "no drain was injected"),
        (drain(fault="cordon"), "no drain was injected"),
        (gone(drain(), "one", 12.0).gap("pods", 13.0), "was interrupted before all pods of node-1 were gone"),
    ],
)
def test_missing_data_never_holds(story: Story, reason: str) -> None:
    found, why = judge(story)
    assert found is INCONCLUSIVE
    assert reason in why


def test_pods_of_other_namespaces_are_not_judged() -> None:
    story = Story(fault=15)
    injection = Injection("drain", (NODE, *PODS), Interval(10.0, 12.0), proven=True)
    story.timeline.injections.append(injection)
    assert judge(story) == (INCONCLUSIVE, "no pod that was to be evicted from node-1 was observed")
    see(story, 1.0, "one")
    assert judge(gone(story, "one", 12.0))[0] is HELD

"""How many versions of a workload have pods at the same time."""

from __future__ import annotations

import pytest

from harness.model.verdict import Verdict
from harness.objectives.versions import Versions
from tests.unit.timelines import PODINFO, Story

OLD, NEW = {"pod-template-hash": "old"}, {"pod-template-hash": "new"}


def recreated(gone: float = 14.0, **changes: float) -> Story:
    """The old pod is removed, and a new one is created at 15 s."""
    story = Story().injected(10.0, undone=20.0)
    story.pod(1.0, "podinfo-a", "a", labels=OLD)
    story.pod(11.0, "podinfo-a", "a", ready=False, deleting=True, labels=OLD)
    if gone < 15.0:
        story.pod(gone, "podinfo-a", "a", event="DELETED", labels=OLD)
    story.pod(15.0, "podinfo-b", "b", ready=False, labels=NEW)
    if gone >= 15.0:
        story.pod(gone, "podinfo-a", "a", event="DELETED", labels=OLD)
    return story


def judged(story: Story, **fields: int) -> tuple[Verdict, str]:
    finding = Versions.model_validate({"of": PODINFO, **fields}).judge(story.timeline)
    return finding.verdict, finding.reason


def test_old_pods_are_gone_before_new_ones_exist() -> None:
    reason = "never more than 1 version of deployment/podinfo at the same time, at most 1 allowed"
    assert judged(recreated()) == (Verdict.HELD, reason)


def test_terminating_pod_still_counts() -> None:
    assert judged(recreated(gone=16.0)) == (
        Verdict.BROKEN,
        "2 versions of deployment/podinfo had pods at 15 s, at most 1 allowed",
    )


def test_pods_of_other_workloads_do_not_count() -> None:
    story = recreated().pod(12.0, "other-a", "o", owner="deployment/other", labels=NEW)
    assert judged(story)[0] is Verdict.HELD


def test_ended_pod_does_not_count() -> None:
    story = recreated(gone=16.0)
    ended = Story().injected(10.0, undone=20.0)
    for seen in story.timeline.observations("pods"):
        phase = "Failed" if seen.at == 11.0 else "Running"
        ended.add("pods", seen.subject, seen.at, {**seen.value, "phase": phase})
    assert judged(ended)[0] is Verdict.HELD


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story(), "no pod of deployment/podinfo was observed"),
        (Story().pod(1.0, "podinfo-a", "a", labels={"app": "podinfo"}), "pod podinfo-a has none of the labels"),
        (recreated().gap("pods", 12.0, 13.0, complete=False), "the watch on pods was interrupted"),
    ],
)
def test_missing_data_shows_no_number_of_versions(story: Story, reason: str) -> None:
    verdict, why = judged(story)
    assert verdict is Verdict.INCONCLUSIVE
    assert reason in why


def test_more_versions_may_be_allowed() -> None:
    assert judged(recreated(gone=16.0).pod(17.0, "podinfo-c", "c", labels={"pod-template-hash": "c"}), max=2)[0] is (
        Verdict.HELD
    )

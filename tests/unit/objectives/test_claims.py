"""What happens to the claims of the pods that a StatefulSet gives up, against its retention policy."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from harness.objectives.claims import Claims
from tests.unit.timelines import ETCD, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
KEPT: dict[str, Any] = {"removed": "kept"}
DELETED: dict[str, Any] = {"removed": "deleted", "within": "10s"}


def claim(story: Story, at: float, number: int, event: str = "MODIFIED", **changes: object) -> Story:
    value = {"event": event, "uid": f"c{number}", "volume": f"pv-{number}", "phase": "Bound", "deleting": False}
    return story.add("claims", f"pvc/data-etcd-{number}", at, value | changes)


def scaled(*, removed: bool = True, claimed: bool = True) -> Story:
    """A set of two is scaled to one at 10 s, and back at 30 s; its second pod is gone at 14 s."""
    story = Story(fault=20)
    for number in range(2):
        story.pod(1.0, f"etcd-{number}", f"{number}", event="SYNC", owner=ETCD)
        if claimed:
            claim(story, 1.0, number, "SYNC")
    story.struck(Victim("StatefulSet", "etcd", "s"), 10.0, undone=30.0)
    return story.gone(14.0, "etcd-1", "1", owner=ETCD) if removed else story


def judged(story: Story, fields: dict[str, Any]) -> tuple[Verdict, str]:
    finding = Claims.model_validate({"of": ETCD, **fields}).judge(story.timeline)
    return finding.verdict, finding.reason


def test_claim_of_a_removed_pod_is_kept() -> None:
    expected = "1 claim of removed pods was kept; 1 claim of pods that stay was kept"
    assert judged(scaled(), KEPT) == (HELD, expected)


def test_claim_of_a_removed_pod_is_deleted_in_time() -> None:
    story = claim(claim(scaled(), 14.1, 1, deleting=True), 16.0, 1, "DELETED")
    reason = "1 claim of removed pods was deleted, at the latest 2 s after their pods; 1 claim of pods that stay"
    finding = Claims.model_validate({"of": ETCD, **DELETED}).judge(story.timeline)
    assert (finding.verdict, finding.observed, finding.limit) == (HELD, 2.0, 10.0)
    assert finding.reason.startswith(reason)


@pytest.mark.parametrize(
    ("story", "fields", "reason"),
    [
        (claim(scaled(), 16.0, 1, "DELETED"), KEPT, "claim data-etcd-1 of etcd-1 was deleted at 16 s"),
        (claim(scaled(), 16.0, 1, deleting=True), KEPT, "was about to be deleted at 16 s"),
        (claim(scaled(), 16.0, 1, volume="pv-9"), KEPT, "lost its volume"),
        (claim(scaled(), 16.0, 1, uid="c9"), KEPT, "was deleted at 16 s"),
        (claim(scaled(), 16.0, 0, "DELETED"), KEPT, "claim data-etcd-0 of etcd-0 was deleted"),
        (scaled(), DELETED, "claim data-etcd-1 was deleted: not observed in the 16 s after the end of etcd-1"),
        (claim(scaled(), 25.0, 1, "DELETED"), DELETED, "was deleted 11 s after the end of etcd-1"),
        (
            claim(claim(scaled(), 16.0, 1, "DELETED"), 16.0, 0, "DELETED"),
            DELETED,
            "claim data-etcd-0 of etcd-0 was deleted at 16 s, and must be kept",
        ),
    ],
)
def test_known_bad_retention_is_broken(story: Story, fields: dict[str, Any], reason: str) -> None:
    verdict, why = judged(story, fields)
    assert (verdict, reason in why) == (BROKEN, True), why


@pytest.mark.parametrize(
    ("story", "fields", "reason"),
    [
        (Story(), KEPT, "no fault changed statefulset/etcd"),
        (scaled(removed=False), KEPT, "no removed pod of statefulset/etcd had a claim"),
        (scaled(claimed=False), DELETED, "no removed pod of statefulset/etcd had a claim"),
        (scaled().gap("claims", 20.0, 21.0, complete=False), KEPT, "the watch on claims or pods was interrupted"),
        (scaled().gap("pods", 20.0), KEPT, "the watch on claims or pods was interrupted"),
        (scaled().gap("claims", 15.0), DELETED, "was interrupted before claim data-etcd-1 was deleted"),
    ],
)
def test_missing_data_shows_no_retention(story: Story, fields: dict[str, Any], reason: str) -> None:
    verdict, why = judged(story, fields)
    assert (verdict, reason in why) == (INCONCLUSIVE, True), why


def test_deletion_after_the_undo_does_not_count() -> None:
    assert judged(claim(scaled(), 31.0, 1, "DELETED"), KEPT)[0] is HELD


def test_claim_of_a_pod_whose_name_ends_alike_is_another() -> None:
    story = claim(scaled(), 1.0, 1, "SYNC").add("claims", "pvc/data-myetcd-1", 1.0, {"event": "SYNC", "uid": "x"})
    assert judged(story, KEPT)[0] is HELD


def test_fault_phase_waits_for_pods_and_claims() -> None:
    objective = Claims.model_validate({"of": ETCD, **DELETED})
    assert objective.awaits(Story().timeline) == ""
    story = scaled(removed=False)
    story.add("workloads", ETCD, 11.0, {"desired": 1, "replicas": 2, "generation": 2, "observed_generation": 2})
    assert objective.awaits(story.timeline) == "statefulset/etcd is to remove 1 pod"
    assert objective.awaits(scaled().timeline) == "data-etcd-1 is not deleted"
    assert objective.awaits(claim(scaled(), 16.0, 1, "DELETED").timeline) == ""
    assert Claims.model_validate({"of": ETCD, **KEPT}).awaits(scaled().timeline) == ""


@pytest.mark.parametrize("fields", [{"removed": "deleted"}, {"removed": "kept", "within": "5s"}])
def test_time_limit_belongs_to_deletion(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected within only"):
        Claims.model_validate({"of": ETCD, **fields})

"""Which pods of a StatefulSet a new version reaches: those that a partition or OnDelete lets it reach."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from harness.objectives.member_updates import MemberUpdates
from tests.unit.timelines import ETCD, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
OLD, NEW = {"controller-revision-hash": "etcd-old"}, {"controller-revision-hash": "etcd-new"}
PARTITION: dict[str, Any] = {"fromOrdinal": 2, "within": "10s"}
ON_DELETE: dict[str, Any] = {"onlyVictims": True, "within": "10s"}


def changed(*, members: int = 3, recorded: bool = True) -> Story:
    """A set of three whose pod template is changed at 10 s and restored at 30 s."""
    story = Story(fault=20).add("workloads", ETCD, 1.0, {"revision": "etcd-old"})
    for number in range(members):
        story.pod(1.0, f"etcd-{number}", f"{number}", event="SYNC", owner=ETCD, labels=OLD)
    story.struck(Victim("StatefulSet", "etcd", "s"), 10.0, undone=30.0)
    return story.add("workloads", ETCD, 10.2, {"revision": "etcd-new"}) if recorded else story


def replaced(story: Story, number: int, at: float, labels: dict[str, str] = NEW, *, ready: bool = True) -> Story:
    """A member is deleted, and a new one is ready three seconds later."""
    name = f"etcd-{number}"
    story.pod(at, name, f"{number}", False, deleting=True, owner=ETCD, labels=OLD)
    story.pod(at + 1, name, f"{number}", event="DELETED", owner=ETCD, labels=OLD)
    story.pod(at + 1.1, name, f"new {number}", False, event="ADDED", owner=ETCD, labels=labels)
    return story.pod(at + 3, name, f"new {number}", owner=ETCD, labels=labels) if ready else story


def judged(story: Story, fields: dict[str, Any]) -> tuple[Verdict, str]:
    finding = MemberUpdates.model_validate({"of": ETCD, **fields}).judge(story.timeline)
    return finding.verdict, finding.reason


def killed(*numbers: int, at: float = 12.0) -> Story:
    return changed().injected(at, *((f"etcd-{number}", f"{number}") for number in numbers))


def test_update_ends_at_the_partition() -> None:
    expected = "etcd-2 got the new version; etcd-0, etcd-1 did not"
    assert judged(replaced(changed(), 2, 11.0), PARTITION) == (HELD, expected)


def test_member_below_the_partition_returns_in_the_old_version() -> None:
    story = replaced(replaced(killed(0), 2, 11.0), 0, 12.05, OLD)
    verdict, reason = judged(story, PARTITION)
    assert (verdict, reason.endswith(", etcd-0 came back in the old version")) == (HELD, True)


def test_deleted_members_take_the_version_of_on_delete() -> None:
    expected = "etcd-1 got the new version; etcd-0, etcd-2 did not"
    assert judged(replaced(killed(1), 1, 12.05), ON_DELETE) == (HELD, expected)


@pytest.mark.parametrize(
    ("story", "fields", "reason"),
    [
        (
            replaced(replaced(changed(), 2, 11.0), 1, 15.0),
            PARTITION,
            "etcd-1 was deleted or replaced at 15 s, although nothing was to change for it",
        ),
        (
            replaced(replaced(killed(0), 2, 11.0), 0, 12.05),
            PARTITION,
            "etcd-0 got the new version at 13.15 s, which must not reach it",
        ),
        (
            replaced(changed(), 2, 20.0),
            PARTITION,
            "etcd-2 was ready in the new version 12.9 s to 13 s after",
        ),
        (replaced(changed(), 2, 11.0, ready=False), PARTITION, "etcd-2 was ready in the new version: not observed"),
        (replaced(changed(), 2, 11.0, OLD), PARTITION, "etcd-2 was ready in the new version: not observed"),
        (
            replaced(replaced(killed(1), 1, 12.05), 2, 20.0),
            ON_DELETE,
            "etcd-2 was deleted or replaced at 20 s, although nothing was to change for it",
        ),
    ],
)
def test_known_bad_updates_are_broken(story: Story, fields: dict[str, Any], reason: str) -> None:
    verdict, why = judged(story, fields)
    assert (verdict, reason in why) == (BROKEN, True), why


@pytest.mark.parametrize(
    ("story", "fields", "reason"),
    [
        (Story(), PARTITION, "no fault changed statefulset/etcd"),
        (changed(recorded=False), PARTITION, "no new version of statefulset/etcd was observed"),
        (changed(), {**PARTITION, "fromOrdinal": 9}, "no pod of statefulset/etcd is to be updated"),
        (changed(), {**PARTITION, "fromOrdinal": 0}, "no pod of statefulset/etcd is to be left alone"),
        (changed(), ON_DELETE, "no pod of statefulset/etcd is to be updated"),
        (replaced(killed(0), 2, 11.0), PARTITION, "etcd-0 did not come back before the change was undone"),
        (
            replaced(changed(), 2, 11.0).gap("pods", 20.0, 21.0, complete=False),
            PARTITION,
            "the watch on pods was interrupted",
        ),
        (
            changed().gap("pods", 12.0, 29.0, complete=False),
            PARTITION,
            "watch on pods was interrupted before etcd-2",
        ),
    ],
)
def test_missing_data_shows_no_limit_of_an_update(story: Story, fields: dict[str, Any], reason: str) -> None:
    verdict, why = judged(story, fields)
    assert (verdict, reason in why) == (INCONCLUSIVE, True), why


def test_events_after_the_undo_do_not_count() -> None:
    assert judged(replaced(replaced(changed(), 2, 11.0), 1, 31.0), PARTITION)[0] is HELD


def test_fault_phase_waits_for_the_members() -> None:
    objective = MemberUpdates.model_validate({"of": ETCD, **PARTITION})
    assert objective.awaits(Story().timeline) == ""
    assert objective.awaits(changed().timeline) == "etcd-2 of statefulset/etcd is not ready in the new version"
    story = replaced(killed(0), 2, 11.0)
    assert objective.awaits(story.timeline) == "etcd-0 of statefulset/etcd has not returned"
    assert objective.awaits(replaced(story, 0, 12.05, OLD).timeline) == ""


@pytest.mark.parametrize("fields", [{"within": "5s"}, {**PARTITION, "onlyVictims": True}])
def test_members_are_given_in_one_way(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="expected exactly one"):
        MemberUpdates.model_validate({"of": ETCD, **fields})

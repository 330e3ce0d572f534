"""The order in which a StatefulSet starts and stops its pods: OrderedReady, against what Parallel does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.model.timeline import Victim
from harness.model.verdict import Verdict
from harness.objectives.order import Order
from tests.unit.timelines import ETCD, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
SET = Victim("StatefulSet", "etcd", "s")
OLD, NEW = "etcd-old", "etcd-new"

# (seconds, ordinal number, what happens); a pod is named by its number and how often it was created.
Event = tuple[float, int, str]


def size(story: Story, at: float, desired: int, first: int = 0) -> Story:
    return story.add("workloads", ETCD, at, {"desired": desired, "first_ordinal": first, "event": "MODIFIED"})


def told(*events: Event, members: Sequence[int] = (0, 1, 2), desired: int = 3, changed: bool = True) -> Story:
    """A set of three, to which these things happen; its size changes to ``desired`` at 10 s."""
    story = size(Story(), 1.0, len(members), members[0])
    for number in members:
        story.pod(1.0, f"etcd-{number}", f"{number}.0", event="SYNC", owner=ETCD, labels=revision(OLD))
    if changed:
        size(story.struck(SET, 10.0, undone=30.0), 10.1, desired, members[0])
    return happened(story, *events)


def revision(name: str) -> dict[str, str]:
    return {"controller-revision-hash": name}


def happened(story: Story, *events: Event) -> Story:
    created: dict[int, int] = {}
    labels: dict[int, str] = {}
    for at, number, what in events:
        if what in {"created", "updated"}:
            created[number] = created.get(number, 0) + 1
            labels[number] = NEW if what == "updated" else OLD
        name, uid = f"etcd-{number}", f"{number}.{created.get(number, 0)}"
        story.pod(
            at,
            name,
            uid,
            what == "ready",
            event={"created": "ADDED", "updated": "ADDED", "gone": "DELETED"}.get(what, "MODIFIED"),
            owner=ETCD,
            deleting=what in {"deleted", "gone"},
            phase="Failed" if what == "failed" else "Running",
            labels=revision(labels.get(number, OLD)),
        )
    return story


def judged(story: Story, **fields: bool) -> tuple[Verdict, str]:
    finding = Order.model_validate({"of": ETCD, **fields}).judge(story.timeline)
    return finding.verdict, finding.reason


DOWN = ((11.0, 2, "deleted"), (13.0, 2, "gone"), (13.1, 1, "deleted"), (15.0, 1, "gone"))
UP = ((31.0, 1, "created"), (33.0, 1, "ready"), (33.1, 2, "created"), (35.0, 2, "ready"))
ROLLED = (
    (11.0, 2, "deleted"),
    (12.0, 2, "gone"),
    (12.1, 2, "updated"),
    (14.0, 2, "ready"),
    (14.1, 1, "deleted"),
    (15.0, 1, "gone"),
    (15.1, 1, "updated"),
    (17.0, 1, "ready"),
)


def test_down_in_reverse_and_up_in_order() -> None:
    reason = "2 starts and 2 stops of pods of statefulset/etcd, each in order"
    assert judged(told(*DOWN, *UP, desired=1)) == (HELD, reason)


def test_rolling_update_goes_from_the_last_to_the_first() -> None:
    assert judged(told(*ROLLED))[0] is HELD


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (
            ((31.0, 3, "created"), (31.1, 4, "created")),
            "etcd-4 was started at 31.1 s while etcd-3 was not ready",
        ),
        (((31.0, 4, "created"),), "etcd-4 was started at 31 s while etcd-3 did not exist"),
        (
            ((11.0, 2, "deleted"), (11.1, 1, "deleted")),
            "etcd-1 was stopped at 11.1 s while etcd-2 was terminating",
        ),
        (((11.0, 1, "deleted"),), "etcd-1 was stopped at 11 s while etcd-2 was still there"),
        (((11.0, 1, "gone"),), "etcd-1 was stopped at 11 s while etcd-2 was still there"),
        (
            ((11.0, 0, "unready"), (12.5, 2, "deleted")),
            "etcd-2 was stopped at 12.5 s while etcd-0 was not ready",
        ),
        (
            ((11.0, 1, "unready"), (12.5, 3, "created")),
            "etcd-3 was started at 12.5 s while etcd-1 was not ready",
        ),
        (
            (*ROLLED[:3], (12.2, 1, "deleted")),
            "etcd-1 was stopped at 12.2 s while etcd-2 was not ready",
        ),
        (
            (*DOWN, (31.0, 2, "created")),
            "etcd-2 was started at 31 s while etcd-1 did not exist",
        ),
    ],
)
def test_known_bad_orders_are_broken(events: Sequence[Event], reason: str) -> None:
    assert judged(told(*events)) == (BROKEN, reason)


def test_many_wrong_steps_are_counted() -> None:
    finding = Order(of=ETCD).judge(told(*((31.0, number, "created") for number in range(3, 9))).timeline)
    assert (finding.verdict, finding.observed, finding.limit, finding.samples) == (BROKEN, 5, 0, 6)
    assert finding.reason.endswith("; and 2 more")


def test_loss_of_the_same_second_does_not_count() -> None:
    assert judged(told((11.0, 1, "unready"), (11.9, 3, "created")))[0] is HELD


def test_victims_are_not_stopped_by_the_controller() -> None:
    story = told(changed=False).injected(10.0, ("etcd-0", "0.0"), ("etcd-2", "2.0"))
    happened(story, (10.05, 0, "gone"), (10.06, 2, "gone"), (10.2, 0, "created"), (12.0, 0, "ready"))
    assert judged(happened(story, (12.1, 2, "created")))[0] is HELD


def test_members_that_return_together_are_out_of_order() -> None:
    story = told(changed=False).injected(10.0, ("etcd-0", "0.0"), ("etcd-1", "1.0"))
    happened(story, (10.05, 0, "gone"), (10.06, 1, "gone"), (10.2, 0, "created"), (10.3, 1, "created"))
    assert judged(story) == (BROKEN, "etcd-1 was started at 10.3 s while etcd-0 was not ready")


def test_victim_that_stays_is_stopped_by_the_controller_later() -> None:
    story = told(changed=False).injected(10.0, ("etcd-1", "1.0"))
    assert judged(happened(story, (20.0, 1, "deleted")))[0] is BROKEN


def test_pods_that_ended_or_were_on_a_lost_node_were_not_stopped() -> None:
    assert judged(told((11.0, 1, "failed"), (11.1, 1, "gone"), (11.2, 1, "created")))[0] is HELD
    lost = told(changed=False).struck(Victim("Node", "node-1", "n"))
    assert judged(happened(lost, (20.0, 1, "deleted"), (21.0, 1, "gone"), (21.1, 1, "created")))[0] is HELD


def test_numbers_may_begin_later() -> None:
    events = ((11.0, 8, "created"), (13.0, 8, "ready"), (13.1, 9, "created"))
    assert judged(told(*events, members=(5, 6, 7), desired=5))[0] is HELD


WAITED = (
    (10.5, 1, "unready"),
    (20.0, 1, "ready"),
    (20.1, 3, "created"),
    (22.0, 3, "ready"),
)


def test_start_that_waited_for_an_unhealthy_member() -> None:
    verdict, reason = judged(told(*WAITED, desired=4), waits=True)
    assert (verdict, reason.partition("; ")[2]) == (HELD, "etcd-3 waited for an unhealthy one")


@pytest.mark.parametrize(
    "story",
    [
        told((11.0, 3, "created"), (13.0, 3, "ready"), desired=4),
        # Wanted only after the other one was ready again.
        size(told(*WAITED, desired=3), 20.05, 4),
        # A start of the last of several new ones, which waits in any case.
        told((11.0, 3, "created"), (13.0, 3, "ready"), (13.1, 4, "created"), desired=5),
    ],
)
def test_set_that_never_had_to_wait_proves_no_halt(story: Story) -> None:
    verdict, reason = judged(story, waits=True)
    assert (verdict, "no start waited" in reason) == (INCONCLUSIVE, True)


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story().struck(SET), "was not observed, so its first ordinal number is unknown"),
        (told(), "was started or stopped by its controller"),
        (told(*DOWN, desired=1).gap("pods", 12.0, 14.0, complete=False), "the watch on pods was interrupted"),
        (told(*DOWN, desired=1).gap("pods", 40.0), "the watch on pods was interrupted"),
    ],
)
def test_missing_data_shows_no_order(story: Story, reason: str) -> None:
    verdict, why = judged(story)
    assert (verdict, reason in why) == (INCONCLUSIVE, True)


def test_steps_before_the_fault_do_not_count() -> None:
    early = told(changed=False)
    happened(early, (5.0, 4, "created"), (5.1, 3, "created"), (6.0, 3, "ready"), (7.0, 4, "ready"))
    assert judged(size(early.struck(SET, 10.0), 10.1, 3))[0] is INCONCLUSIVE


def test_pods_of_other_workloads_do_not_count() -> None:
    story = told(*DOWN, desired=1)
    story.pod(20.0, "etcd-client-0", "x", owner=ETCD, event="ADDED")
    assert judged(story.pod(21.0, "etcd-9", "y", owner="statefulset/other", event="ADDED"))[0] is HELD

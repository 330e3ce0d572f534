"""The endpoints' clock: which Services it watches, and when their ready addresses are back."""

from __future__ import annotations

import pytest

from harness.objectives.recovery import Recovery, recoveries
from tests.unit.timelines import PODINFO, Story


def clocks(story: Story, services: list[str] | None = None) -> list[Recovery]:
    return recoveries(story.timeline, PODINFO, services=services, clocks=["endpoints"])


def test_recovery_needs_as_many_ready_addresses_without_victims() -> None:
    story = Story().replicas_ready("a", "b", "c").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(10.4, "b", "c").endpoints(13.2, "b", "c", "d", wall=13.0)
    (found,) = clocks(story)
    assert (found.subject, found.state, found.began, found.ended) == ("service/podinfo", "recovered", 10.4, 13.2)
    assert (found.length.low, found.length.high) == pytest.approx((13.0 - 10.1, 3.2))


def test_addresses_that_still_hold_the_victim_are_no_recovery() -> None:
    """A surge brings the number up before the victim has left."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(10.5, "a", "b", "d").endpoints(12.0, "b", "d")
    (found,) = clocks(story)
    assert (found.began, found.ended) == (12.0, 12.0)


def test_the_same_pod_may_leave_and_come_back() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(11.0, "b").endpoints(14.0, "a", "b")
    assert clocks(story)[0].ended == 14.0


def test_several_victims_are_back_with_the_last_address() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"), ("podinfo-b", "b"))
    story.endpoints(10.5, "b").endpoints(11.0, "b", "d").endpoints(11.5, "d").endpoints(13.0, "d", "e")
    assert clocks(story)[0].ended == 13.0


def test_a_relapse_counts() -> None:
    story = Story(settle=5).replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(10.5, "b").endpoints(12.0, "b", "d").endpoints(13.0, "b").endpoints(15.0, "b", "d")
    assert clocks(story)[0].ended == 15.0


def test_every_service_of_the_workload_has_a_separate_clock() -> None:
    story = Story().replicas_ready("a", "b").endpoints(1.0, "a", "b", service="headless")
    story.endpoints(1.0, "z", service="other").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(10.5, "b").endpoints(12.0, "b", "d")
    found = {clock.subject: clock.state for clock in clocks(story)}
    assert found == {"service/headless": "not disrupted", "service/podinfo": "recovered"}
    assert [clock.subject for clock in clocks(story, ["podinfo"])] == ["service/podinfo"]


def test_addresses_that_never_come_back_are_not_recovered() -> None:
    story = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a")).endpoints(10.5)
    assert clocks(story)[0].state == "not recovered"


def test_fault_without_a_service_victim_is_detected_by_count() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("node-1", "n1"))
    story.endpoints(12.0, "a").endpoints(20.0, "a", "d")
    assert (clocks(story)[0].began, clocks(story)[0].ended) == (12.0, 20.0)


def test_victim_replaced_within_one_update_was_disrupted() -> None:
    """The controller writes slices in batches."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a")).endpoints(10.5, "b", "d")
    (found,) = clocks(story)
    assert (found.state, found.began, found.ended) == ("recovered", 10.5, 10.5)


def test_updates_without_a_removal_are_no_disruption() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("node-1", "n1"))
    assert clocks(story.endpoints(12.0, "a", "b", "d").endpoints(13.0, "b", "d"))[0].state == "not disrupted"


def test_updates_after_the_recovery_are_no_further_outages() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(10.5, "b").endpoints(12.0, "b", "d").endpoints(13.0, "b", "d", "e")
    assert "outages" not in clocks(story)[0].reason


def test_update_at_the_fault_time_counts_as_after_it() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a")).endpoints(10.0, "b")
    assert clocks(story.endpoints(12.0, "b", "d"))[0].began == 10.0


def test_errors_and_empty_values_are_no_updates() -> None:
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.add("endpoints", "podinfo", 9.0, None).add("endpoints", "podinfo", 11.0, None)
    for at, ended in ((9.0, 9.5), (11.0, 11.5)):
        story.error("endpoints", "podinfo", at, "unreadable", {"gap": "began", "ready": []})
        story.error("endpoints", "podinfo", ended, "unreadable", {"gap": "ended", "complete": True, "ready": []})
    assert clocks(story)[0].state == "not disrupted"


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        (Story().injected(10.0), "no Service had a ready endpoint"),
        (Story().replicas_ready("a").injected(10.0).gap("endpoints", 12.0), "may have been missed"),
        (
            Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a")).endpoints(11.0).gap("endpoints", 12.0),
            "was interrupted before they were back",
        ),
    ],
)
def test_missing_data_is_reported(story: Story, reason: str) -> None:
    (found,) = clocks(story)
    assert found.state == "no data"
    assert reason in found.reason


def test_selected_empty_service_has_no_data() -> None:
    (found,) = clocks(Story().replicas_ready("a").injected(10.0), ["missing"])
    assert (found.state, found.subject) == ("no data", "service/missing")


def test_absent_kubelet_does_not_return_addresses_early() -> None:
    """The slice's time is that of the pods' condition, which a kubelet that was cut off gives as before the fault."""
    story = Story(fault=45).replicas_ready("a", "b").injected(10.0)
    story.endpoints(32.4, "b", wall=32.0).endpoints(50.3, "a", "b", wall=1.0)
    (found,) = clocks(story)
    assert (found.length.low, found.length.high) == pytest.approx((32.0 - 10.1, 50.3 - 10.0))


@pytest.mark.parametrize(
    ("ended", "complete", "state"),
    [(None, False, "no data"), (54.9, False, "no data"), (54.9, True, "recovered")],
)
def test_states_lost_after_the_recovery_leave_it_unknown(ended: float | None, complete: bool, state: str) -> None:
    """A relapse within the settle phase may have gone unseen; one that only times are missing of was not."""
    story = Story().replicas_ready("a", "b").injected(10.0, ("podinfo-a", "a"))
    story.endpoints(10.4, "b").endpoints(13.2, "b", "d", wall=13.0).gap("endpoints", 50.1, ended, complete)
    (found,) = clocks(story)
    assert found.state == state
    assert found.length.low == pytest.approx(13.0 - 10.1)

"""Asking while the run goes on whether the recovery phase may end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.model.timeline import Phase
from harness.objectives.recovery import CLOCKS, recovered, recoveries
from tests.unit.timelines import PODINFO, Story


def killed() -> Story:
    story = Story().replicas_ready("a", "b").requests(0, 20, failing=(10.2, 11))
    return story.injected(10.0, ("podinfo-a", "a")).gone(10.1, "podinfo-a", "a").endpoints(10.2, "b")


def test_recovered_waits_for_the_slowest_disrupted_clock() -> None:
    story = killed()
    assert recovered(story.timeline, PODINFO)[0] is False
    story.pod(12.0, "podinfo-d", "d")
    done, reason = recovered(story.timeline, PODINFO)
    assert not done
    assert reason.startswith("endpoints: ")
    story.endpoints(12.5, "b", "d")
    assert recovered(story.timeline, PODINFO)[0] is True


def test_unobserved_disruption_is_no_recovery() -> None:
    """Right after the call nothing has changed yet; the run must not end on that."""
    story = Story().replicas_ready("a", "b").requests(0, 11).injected(10.0, ("podinfo-a", "a"))
    story.timeline.phases = story.timeline.phases[:1]
    assert recovered(story.timeline, PODINFO) == (
        False,
        "control plane: 2 pods stayed ready; endpoints: 2 endpoints stayed ready; user: none of 20 requests failed",
    )


def test_false_before_the_injection_and_before_the_undo() -> None:
    story = Story().replicas_ready("a")
    done, reason = recovered(story.timeline, PODINFO)
    assert (done, reason.split("; ")[0]) == (False, "control plane: no fault was injected")
    done, reason = recovered(story.injected(10.0).timeline, PODINFO, since="undone")
    assert (done, reason.split("; ")[0]) == (False, "control plane: the disruption was not undone")


def test_unfinished_phase_does_not_make_lengths_infinite() -> None:
    story = killed()
    story.timeline.phases = [replace(phase) for phase in story.timeline.phases[:2]]
    story.timeline.phases.append(Phase("recovery", 20.0, float("inf")))
    (found,) = recoveries(story.timeline, PODINFO, clocks=["control plane"])
    assert found.length.low == pytest.approx(20.0 - 10.1)


def test_every_clock_reports_in_the_fixed_order() -> None:
    assert [clock.clock for clock in recoveries(killed().timeline, PODINFO)] == list(CLOCKS)
    assert [clock.clock for clock in recoveries(Story().timeline, PODINFO)] == list(CLOCKS)

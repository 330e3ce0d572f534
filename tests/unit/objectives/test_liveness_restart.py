"""Restarts by liveness probes, within a limit that the pod itself gives."""

from __future__ import annotations

from typing import Any

import pytest

from harness.model.verdict import Verdict
from harness.objectives.liveness_restart import LivenessRestart
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE
# 2 s + 2 × 3 s + 3 s + 4 s = 15 s, and 5 s of slack.
PROBE = {"delay": 0, "period": 2, "timeout": 3, "failures": 3, "grace": 4}
FORMULA = "period 2 s + 3 - 1 failures × 3 s + timeout 3 s + grace period 4 s + 5 s slack"


def hung(restarted: float | None = None, *, at: float | None = None, probe: Any = PROBE, started: float = -60) -> Story:
    """Pod a is hit at 10 s; its new container started, and was seen ``at``."""
    story = Story().pod(1.0, "podinfo-a", "a", liveness=probe, started=started)
    story.injected(10.0, ("podinfo-a", "a"))
    story.pod(13.0, "podinfo-a", "a", ready=False, liveness=probe, started=started)
    if restarted is not None:
        seen = restarted + 0.5 if at is None else at
        story.pod(seen, "podinfo-a", "a", container="c2", restarts=1, liveness=probe, started=restarted)
    return story


def judge(story: Story, **fields: Any) -> tuple[Verdict, str]:
    finding = LivenessRestart(of=PODINFO, **fields).judge(story.timeline)
    return finding.verdict, finding.reason


@pytest.mark.parametrize(
    ("restarted", "at", "verdict"),
    [(24.0, None, HELD), (29.4, 30.0, HELD), (29.0, 30.2, INCONCLUSIVE), (31.0, None, BROKEN), (None, None, BROKEN)],
)
def test_limit_is_computed_from_the_probe(restarted: float | None, at: float | None, verdict: Verdict) -> None:
    found, reason = judge(hung(restarted, at=at))
    assert found is verdict
    assert reason.endswith(f"at most 20 s was allowed ({FORMULA})")


@pytest.mark.parametrize(("restarted", "verdict"), [(12.0, HELD), (18.0, BROKEN), (None, BROKEN)])
def test_without_a_probe_only_the_slack_is_allowed(restarted: float | None, verdict: Verdict) -> None:
    found, reason = judge(hung(restarted, probe=None))
    assert found is verdict
    assert reason.endswith("(no liveness probe: 5 s slack)")


def test_delay_of_the_first_probe_counts_from_the_start() -> None:
    late = {**PROBE, "delay": 15}
    assert judge(hung(33.0, probe=late, started=0.0))[0] is HELD
    assert judge(hung(36.0, probe=late, started=0.0))[0] is BROKEN
    assert judge(hung(33.0, probe=late))[0] is BROKEN


def test_short_grace_periods_are_two_seconds_in_the_kubelet() -> None:
    assert "grace period 2 s" in judge(hung(12.0, probe={**PROBE, "grace": 0}))[1]


def test_other_pods_do_not_count() -> None:
    story = hung().pod(1.0, "podinfo-b", "b", liveness=PROBE)
    story.pod(14.0, "podinfo-b", "b", container="c2", restarts=1, liveness=PROBE)
    assert judge(story)[0] is BROKEN


def test_a_container_that_waits_is_not_restarted_yet() -> None:
    story = hung().pod(14.0, "podinfo-a", "a", restarts=1, unreported=True, liveness=PROBE)
    assert judge(story)[0] is BROKEN


def test_a_second_restart_is_not_the_first() -> None:
    story = hung(12.0).pod(45.0, "podinfo-a", "a", container="c3", restarts=2, started=44.0, liveness=PROBE)
    assert judge(story)[0] is HELD


def test_several_probes_need_a_name() -> None:
    story = hung(12.0)
    for seen in story.timeline.observations("pods"):
        seen.value["liveness"]["side"] = PROBE
    assert judge(story) == (
        INCONCLUSIVE,
        "pod podinfo-a: containers app, side have liveness probes: name one with `container`",
    )
    assert judge(story, container="app")[0] is HELD
    assert judge(story, container="side")[0] is BROKEN


def test_pod_deleted_before_the_limit_shows_neither() -> None:
    assert judge(hung().gone(15.0, "podinfo-a", "a"))[0] is INCONCLUSIVE


@pytest.mark.parametrize("story", [Story(), Story().injected(10.0, ("podinfo-a", "a")), hung().gap("pods", 30.0)])
def test_missing_data_is_inconclusive(story: Story) -> None:
    assert judge(story)[0] is INCONCLUSIVE


def test_records_without_probes_are_inconclusive() -> None:
    story = hung(12.0)
    for seen in story.timeline.observations("pods"):
        del seen.value["liveness"]
    assert judge(story) == (INCONCLUSIVE, "pod podinfo-a: its liveness probes were not recorded")


def test_it_waits_for_the_restart() -> None:
    objective = LivenessRestart(of=PODINFO)
    assert objective.pending(hung().timeline) == "podinfo-a: no container was restarted"
    assert objective.awaits(hung().timeline)
    assert objective.pending(hung(12.0).timeline) == ""
    assert objective.overdue(hung().timeline)
    assert not LivenessRestart(of=PODINFO, slack="60s").overdue(hung().timeline)

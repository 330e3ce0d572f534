"""Recovery time: the worst clock decides, by its bounds, and only once a disruption was seen."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.clock_errors import Calibration, ClockError
from harness.model.timeline import LoadSummary
from harness.model.verdict import Verdict
from harness.objectives.recovery_time import RecoveryTime
from tests.unit.timelines import PODINFO, Story

HELD, BROKEN, INCONCLUSIVE = Verdict.HELD, Verdict.BROKEN, Verdict.INCONCLUSIVE


def killed(pods: float | None = 12.0, slices: float | None = 12.5, users: float = 11.0, **fault: object) -> Story:
    """A replica killed at 10 s: when its replacement is ready, when the Service has it, until when requests failed."""
    story = Story().replicas_ready("a", "b").requests(0, 55, failing=(10.2, users))
    story.injected(10.0, ("podinfo-a", "a"), **fault).gone(10.1, "podinfo-a", "a").endpoints(10.2, "b")
    if pods is not None:
        story.pod(pods, "podinfo-d", "d", since=pods)
    if slices is not None:
        story.endpoints(slices, "b", "d", wall=slices)
    return story


@pytest.mark.parametrize(
    ("limit", "verdict"), [("3s", HELD), ("2.5s", HELD), ("2.45s", INCONCLUSIVE), ("2.3s", BROKEN), ("1s", BROKEN)]
)
def test_the_bounds_of_the_worst_clock_decide(limit: str, verdict: Verdict) -> None:
    """The endpoints are the slowest here: back between 2.4 s and 2.5 s after a call that took 0.1 s."""
    finding = RecoveryTime(of=PODINFO, max=limit).judge(killed().timeline)
    assert finding.verdict is verdict
    assert (finding.low, finding.observed, finding.high) == pytest.approx((2.4, 2.5, 2.5))
    assert (finding.unit, finding.comparison) == ("s", "<=")


@pytest.mark.parametrize(
    ("limit", "since", "verdict"),
    [("6s", 14.5, HELD), ("3s", 14.5, INCONCLUSIVE), ("0.5s", 14.5, BROKEN), ("3s", 0.0, HELD), ("11s", 20.0, HELD)],
)
def test_silent_load_leaves_a_limit_within_the_bounds_open(limit: str, since: float, verdict: Verdict) -> None:
    """Down for a second as far as anybody asked; from 12 s on nothing was sent for a while."""
    story = Story().replicas_ready("a", "b").requests(0, 12, failing=(10.0, 11)).injected(10.0)
    story.requests(max(12.0, since), 55)
    assert RecoveryTime(of=PODINFO, max=limit, clocks=["user"]).judge(story.timeline).verdict is verdict


def test_each_clock_can_be_the_worst() -> None:
    assert RecoveryTime(of=PODINFO, max="5s").judge(killed(pods=16).timeline).verdict is BROKEN
    assert RecoveryTime(of=PODINFO, max="5s").judge(killed(slices=16).timeline).verdict is BROKEN
    assert RecoveryTime(of=PODINFO, max="5s").judge(killed(users=16).timeline).verdict is BROKEN


def test_only_selected_clocks_decide_and_all_are_shown() -> None:
    finding = RecoveryTime(of=PODINFO, max="5s", clocks=["user"]).judge(killed(pods=30, slices=30).timeline)
    assert finding.verdict is HELD
    assert finding.detail["control plane: deployment/podinfo"].startswith("recovered: ")
    assert finding.detail["prometheus: deployment/podinfo"].startswith("no data: ")


@pytest.mark.parametrize("series", ["pods", "endpoints"])
@pytest.mark.parametrize("ended", [None, 54.9])
def test_recovery_possibly_lost_unseen_does_not_hold(series: str, ended: float | None) -> None:
    """The watch breaks in the settle phase. A recovery that was too slow already stays so."""
    story = killed().gap(series, 50.1, ended, complete=False)
    finding = RecoveryTime(of=PODINFO, max="20s").judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "a relapse may have been missed" in finding.reason
    assert RecoveryTime(of=PODINFO, max="1s").judge(story.timeline).verdict is BROKEN
    assert RecoveryTime(of=PODINFO, max="20s").judge(killed().gap(series, 50.1, 54.9).timeline).verdict is HELD


@pytest.mark.parametrize(("limit", "verdict"), [("1s", BROKEN), ("20s", INCONCLUSIVE)])
def test_replicas_no_longer_wanted_by_an_autoscaler_are_not_late(limit: str, verdict: Verdict) -> None:
    story = (
        killed(pods=None).add("workloads", PODINFO, 1.0, {"desired": 2}).add("workloads", PODINFO, 13, {"desired": 1})
    )
    assert RecoveryTime(of=PODINFO, max=limit, clocks=["controlPlane"]).judge(story.timeline).verdict is verdict


def test_no_recovery_is_broken_once_watched_past_the_limit() -> None:
    """Watched for 45 s: a limit of 20 s is missed for certain, one of 60 s is not."""
    story = killed(pods=None)
    assert RecoveryTime(of=PODINFO, max="20s").judge(story.timeline).verdict is BROKEN
    assert RecoveryTime(of=PODINFO, max="20s").overdue(story.timeline)
    assert not RecoveryTime(of=PODINFO, max="60s").overdue(story.timeline)
    finding = RecoveryTime(of=PODINFO, max="60s").judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE
    assert finding.high is None
    assert "still down" in finding.reason


def test_a_clock_without_data_is_inconclusive() -> None:
    finding = RecoveryTime(of=PODINFO, max="20s", clocks=["prometheus", "user"]).judge(killed().timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "prometheus: no data" in finding.reason
    silent = Story().replicas_ready("a").injected(10.0, ("podinfo-a", "a")).gone(10.1, "podinfo-a", "a")
    silent.pod(11.0, "podinfo-d", "d").endpoints(10.2).endpoints(11.1, "d")
    assert RecoveryTime(of=PODINFO, max="20s").judge(silent.timeline).verdict is INCONCLUSIVE


def test_users_without_an_outage_took_no_time() -> None:
    assert RecoveryTime(of=PODINFO, max="5s").judge(killed(users=10.0).timeline).verdict is HELD


def test_unobserved_disruption_has_no_recovery() -> None:
    story = Story().replicas_ready("a", "b").requests(0, 55).injected(10.0, ("podinfo-a", "a"))
    finding = RecoveryTime(of=PODINFO, max="20s").judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE
    assert "no clock saw a disruption of deployment/podinfo" in finding.reason


def test_prometheus_alone_is_insufficient() -> None:
    """A missed scrape looks like a lost target."""
    story = Story().replicas_ready("a", "b").requests(0, 55).injected(10.0, ("podinfo-a", "a"))
    story.up((at, 1 if at == 12 else 2) for at in range(55))
    finding = RecoveryTime(of=PODINFO, max="20s", clocks=["prometheus"]).judge(story.timeline)
    assert finding.verdict is INCONCLUSIVE


@pytest.mark.parametrize("story", [killed(proven=False), Story().replicas_ready("a").requests(0, 55), Story()])
def test_recovery_needs_a_proven_fault(story: Story) -> None:
    assert RecoveryTime(of=PODINFO, max="20s").judge(story.timeline).verdict is INCONCLUSIVE


def test_since_undone_counts_from_the_undo() -> None:
    story = Story().replicas_ready("a", "b").requests(0, 55, failing=(12, 26)).injected(10.0, undone=24.0)
    story.pod(12.0, "podinfo-a", "a", ready=False).endpoints(12.1, "b")
    story.pod(25.0, "podinfo-a", "a", since=25).endpoints(25.1, "a", "b")
    assert RecoveryTime(of=PODINFO, max="5s", since="undone").judge(story.timeline).verdict is HELD
    assert RecoveryTime(of=PODINFO, max="5s").judge(story.timeline).verdict is BROKEN


def test_the_recovery_phase_is_pending_until_every_clock_is_back() -> None:
    objective = RecoveryTime(of=PODINFO, max="5s")
    assert objective.pending(killed(slices=None).timeline).startswith("deployment/podinfo: endpoints: ")
    assert objective.pending(killed().timeline) == ""


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"of": PODINFO}, "Field required"),
        ({"of": "podinfo", "max": "5s"}, "found 'podinfo', expected deployment/NAME or statefulset/NAME"),
        ({"of": "Deployment/podinfo", "max": "5s"}, "in lower case"),
        ({"of": "pod/podinfo", "max": "5s"}, "found 'pod/podinfo'"),
        ({"of": PODINFO, "max": "0s"}, "longer than 0 s"),
        ({"of": PODINFO, "max": "soon"}, "expected a duration"),
        ({"of": PODINFO, "max": "5s", "clocks": []}, "at least 1 item"),
        ({"of": PODINFO, "max": "5s", "clocks": ["sundial"]}, "'controlPlane', 'endpoints', 'user' or 'prometheus'"),
        ({"of": PODINFO, "max": "5s", "since": "tuesday"}, "'injected' or 'undone'"),
    ],
)
def test_impossible_parameters_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RecoveryTime(**fields)


@pytest.mark.parametrize(("limit", "verdict"), [("2.56s", HELD), ("2.54s", INCONCLUSIVE), ("2.36s", INCONCLUSIVE)])
def test_margin_below_the_calibrated_error_is_inconclusive(limit: str, verdict: Verdict) -> None:
    """The endpoints, back after 2.4 s to 2.5 s, have been seen to err by up to 50 ms; the other clocks by nothing."""
    story = killed()
    story.timeline.calibration = calibrated("endpoints", worst=0.05)
    finding = RecoveryTime(of=PODINFO, max=limit).judge(story.timeline)
    assert finding.verdict is verdict
    assert ("calibrated error" in finding.reason) is (verdict is INCONCLUSIVE)


@pytest.mark.parametrize(("error", "verdict"), [(0.0, HELD), (5.0, INCONCLUSIVE)])
def test_clock_error_of_the_load_counts_for_users(error: float, verdict: Verdict) -> None:
    """A load on another machine has times of another clock: the margin must be greater than their error."""
    story = Story().replicas_ready("a", "b").requests(0, 55, failing=(10.0, 11)).injected(10.0)
    story.timeline.load = LoadSummary(clock_error=error)
    finding = RecoveryTime(of=PODINFO, max="3s", clocks=["user"]).judge(story.timeline)
    assert finding.verdict is verdict


def test_miss_above_the_calibrated_error_stays_certain() -> None:
    story = killed()
    story.timeline.calibration = calibrated("endpoints", worst=0.05)
    assert RecoveryTime(of=PODINFO, max="2.3s").judge(story.timeline).verdict is BROKEN


def calibrated(clock: str, worst: float) -> Calibration:
    error = ClockError(
        clock=clock, samples=50, bias=0, typical=0.01, spread=0.02, worst=worst, coverage=1, shortest=0.05, longest=20
    )
    return Calibration(cluster="c", machine="m", harness="0", at="2026-01-01T00:00:00Z", clocks=[error])

"""Clocks held against known outages: their errors come out as they were put in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.engine.calibration.measure import errors, of_probes, of_watch
from harness.engine.calibration.plan import LONGEST, SHORTEST, distribute, lengths
from harness.engine.calibration.truth import Truth
from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Interval, Observation, ProbeStream, Timeline

PERIOD = 0.01
TOOK = 0.001


def truth(began: float, seconds: float, doubt: float = 0.0) -> Truth:
    return Truth("listener", Interval(began, began + doubt), Interval(began + seconds, began + seconds + doubt))


def probed(truths: list[Truth], *, until: float) -> ProbeStream:
    """A service that refuses exactly during the outages, asked every 10 ms."""
    seen = []
    for number in range(int(until / PERIOD)):
        at = number * PERIOD + 0.0037
        down = any(one.began.low <= at < one.ended.low for one in truths)
        seen.append(RequestSample(at, at, at + TOOK, not down, "refused" if down else "ok", ""))
    return ProbeStream("target", "target", PERIOD, 0.2, Requests(seen))


def switched(truths: list[Truth], late: float) -> Timeline:
    """A pod and an endpoint whose changes arrive this late."""
    timeline = Timeline(0.0, 1_700_000_000.0)

    def add(at: float, ready: bool) -> None:
        pod = {"event": "MODIFIED", "uid": "u", "owner": "deployment/switch", "ready": ready, "phase": "Running"}
        timeline.add(Observation("pods", "switch-1", at, {**pod, "containers": {}, "ready_since": None}))
        timeline.add(Observation("endpoints", "switch", at, {"ready": ["192.0.2.1"] if ready else []}))

    add(0.1, True)
    for one in truths:
        add(one.began.high + late, False)
        add(one.ended.high + late, True)
    return timeline


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=5))
def test_undisturbed_user_clock_errs_by_less_than_one_period(outages: list[float]) -> None:
    truths, at = [], 1.0
    for seconds in outages:
        truths.append(truth(at, seconds))
        at += seconds + 0.5
    found = errors(of_probes(probed(truths, until=at + 0.5), truths))
    assert [error.clock for error in found] == ["user", "user, whole outage"]
    for error in found:
        assert (error.samples, error.missed, error.coverage) == (len(truths), 0, 1.0)
        assert error.worst <= PERIOD + TOOK


@pytest.mark.parametrize(("late", "seconds"), [(1.2, 0.17), (0.9, 0.01), (0.05, 0.03)])
def test_bounds_hold_the_truth_beside_stray_failures(late: float, seconds: float) -> None:
    """A target that waits for a processor after its outage loses connections, and they are none of the outage."""
    one = truth(1.0, 0.5)
    stray = truth(1.5 + late, seconds)
    found = errors(of_probes(probed([one, stray], until=6.0), [one]))
    assert [error.coverage for error in found] == [1.0, 1.0]


@pytest.mark.parametrize("clock", ["control plane", "endpoints"])
def test_a_clock_that_watches_errs_by_what_the_watch_is_late(clock: str) -> None:
    truths = [truth(1.0 + 2 * number, 0.3 + number / 10) for number in range(5)]
    (error,) = errors(of_watch(switched(truths, late=0.02), clock, "switch", truths))  # type: ignore[arg-type]
    assert (error.clock, error.samples, error.missed, error.coverage) == (clock, 5, 0, 1.0)
    assert (error.bias, error.worst, error.spread) == pytest.approx((0.02, 0.02, 0.0), abs=1e-6)
    assert (error.shortest, error.longest) == pytest.approx((0.3, 0.7))


def test_unseen_outage_is_missed_and_not_a_zero_error() -> None:
    seen, unseen = truth(1.0, 0.5), truth(3.0, 0.5)
    whole = errors(of_probes(probed([seen], until=6.0), [seen, unseen]))[1]
    assert (whole.samples, whole.missed, whole.coverage) == (2, 1, 0.5)


def test_uncertain_truth_does_not_count_against_the_bounds() -> None:
    late = 0.004
    sure, unsure = truth(1.0, 0.5), truth(1.0, 0.5, doubt=0.02)
    timeline = switched([truth(1.0, 0.5 - late)], late=0.0)
    assert [errors(of_watch(timeline, "endpoints", "switch", [one]))[0].coverage for one in (sure, unsure)] == [
        0.0,
        1.0,
    ]


@given(st.integers(0, 2**32), st.integers(10, 100))
def test_lengths_cover_the_range_and_their_sum_is_bounded(seed: int, count: int) -> None:
    found = lengths(count, random.Random(seed))
    assert len(found) == count
    assert SHORTEST <= min(found) < SHORTEST * (LONGEST / SHORTEST) ** (1 / count)
    assert LONGEST >= max(found) > LONGEST / (LONGEST / SHORTEST) ** (1 / count)
    assert sum(found) / count < 4.5
    groups = distribute(found, 4, lambda length: length + 1.0)
    assert sorted(one for group in groups for one in group) == sorted(found)
    # The groups run at the same time: their totals decide how long a calibration takes.
    totals = [sum(group) + len(group) for group in groups]
    assert max(totals) <= 1.1 * max(sum(totals) / 4, max(found) + 1.0)


def test_outage_before_the_first_probe_has_an_unknown_start() -> None:
    one = truth(1.0, 0.5)
    stream = probed([truth(0.0, 1.5)], until=3.0)
    (_, whole) = errors(of_probes(stream, [one]))
    assert (whole.samples, whole.missed) == (1, 1)

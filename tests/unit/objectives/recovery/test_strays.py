"""A few failures after users are served again widen the bounds of an outage, and do not move them past its end."""

from __future__ import annotations

import random

import pytest

from harness.model.requests import Requests, RequestSample
from harness.model.timeline import Injection, Interval, ProbeStream, Timeline
from harness.objectives.recovery import recoveries
from harness.objectives.recovery.outage import Recovery
from harness.objectives.recovery.sent import Sent
from harness.objectives.recovery.strays import back_at_least_since

PERIOD, TOOK, TIMEOUT = 0.01, 0.001, 0.5
DOWN, UP = 2.0, 4.0


def probes(*strays: tuple[float, float], share: float = 0.0, until: float = 9.0) -> Requests:
    """Down from DOWN to UP and, for so long each, at the strays; a share of the rest fails too, if any."""
    rng, found = random.Random(1), []
    for number in range(int(until / PERIOD)):
        at = number * PERIOD + 0.0037
        down = DOWN <= at < UP or any(begin <= at < begin + length for begin, length in strays)
        ok = not down and not (DOWN <= at < UP + 2.0 and rng.random() < share)
        took = TOOK if ok or DOWN <= at < UP else TIMEOUT
        found.append(RequestSample(at, at, at + took, ok, "ok" if ok else "timeout", ""))
    return Requests(found)


def recovery(seen: Requests) -> Recovery:
    timeline = Timeline(0.0, 0.0, probes=[ProbeStream("target", "target", PERIOD, TIMEOUT, seen)])
    timeline.injections.append(Injection("stop", (), Interval(DOWN, DOWN), proven=True))
    (found,) = recoveries(timeline, "deployment/target", services=["target"], clocks=["user"])
    return found


@pytest.mark.parametrize(
    "strays",
    [[(5.2, 0.01)], [(5.2, 0.17)], [(4.05, 0.03)], [(4.3, 0.1), (5.0, 0.02), (5.3, 0.05)]],
    ids=["one", "many at once", "within the good ones in a row", "several times"],
)
def test_bounds_hold_the_truth_beside_stray_failures(strays: list[tuple[float, float]]) -> None:
    found = recovery(probes(*strays))
    assert found.length is not None
    assert found.length.low <= UP - DOWN <= found.length.high
    # Whoever asks for a limit in between learns that it cannot be told.
    assert found.length.high >= strays[-1][0] - DOWN
    assert "a few failures at the end may have another cause" in found.reason


def test_bounds_stay_narrow_without_strays() -> None:
    found = recovery(probes())
    assert found.length is not None
    assert found.length.high - found.length.low <= 2 * PERIOD + TOOK
    assert "a few failures" not in found.reason


@pytest.mark.parametrize("share", [0.5, 0.33])
def test_a_service_that_still_fails_some_requests_is_not_back(share: float) -> None:
    found = recovery(probes(share=share))
    assert found.length is not None
    assert found.length.low >= UP + 2.0 - DOWN - 0.6


def test_a_relapse_that_is_not_brief_counts_in_full() -> None:
    found = recovery(probes((5.0, 0.8)))
    assert found.length is not None
    assert found.length.low >= 5.7 - DOWN


def test_the_only_failure_is_its_own() -> None:
    sent = Sent.of(Requests(RequestSample(at, at, at, at != 3.0, "", "") for at in (1.0, 2.0, 3.0, 4.0)))
    assert back_at_least_since(sent, 3.0, 10) == 3.0

"""Time: the fake clock keeps the promises of the real one."""

from __future__ import annotations

import threading

import pytest

from harness.common.clock import Clock, FakeClock, SystemClock, iso, parse_kubernetes_time

CLOCKS: list[Clock] = [SystemClock(), FakeClock()]


@pytest.mark.parametrize("clock", CLOCKS)
def test_monotonic_never_steps_back(clock: Clock) -> None:
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)


@pytest.mark.parametrize("clock", CLOCKS)
def test_negative_sleep_returns_immediately(clock: Clock) -> None:
    before = clock.monotonic()
    clock.sleep(-3600)
    assert clock.monotonic() - before < 3600


@pytest.mark.parametrize("clock", CLOCKS)
def test_waiting_for_an_event_that_is_set_takes_no_time(clock: Clock) -> None:
    event = threading.Event()
    event.set()
    before = clock.monotonic()
    assert clock.wait(event, 3600)
    assert clock.monotonic() - before < 3600


@pytest.mark.parametrize("clock", CLOCKS)
def test_waiting_for_an_unset_event_ends_and_returns_false(clock: Clock) -> None:
    assert clock.wait(threading.Event(), 0.001) is False


def test_sleeping_moves_both_fake_clocks_alike() -> None:
    clock = FakeClock(monotonic=5, wall=100)
    clock.sleep(2.5)
    clock.wait(threading.Event(), 1)
    assert (clock.monotonic(), clock.wall()) == (8.5, 103.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
        ("1970-01-01T00:00:00.250000Z", 0.25),
    ],
)
def test_api_timestamps_are_read(text: str, seconds: float) -> None:
    assert parse_kubernetes_time(text) == seconds


def test_invalid_timestamp_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        parse_kubernetes_time("yesterday")


def test_wall_times_are_utc_with_milliseconds_and_round_trip() -> None:
    assert iso(0.25) == "1970-01-01T00:00:00.250Z"
    assert parse_kubernetes_time(iso(1_700_000_000.125)) == 1_700_000_000.125

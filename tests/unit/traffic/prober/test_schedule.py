"""Probes are due by the clock alone: at whole periods, told once each, and never adding up an error."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.traffic.prober.schedule import Schedule, staggered


@given(
    st.floats(0.01, 2.0),
    st.lists(st.floats(0.0, 3.0), min_size=1, max_size=30),
)
def test_every_intended_start_is_returned_once_even_when_late(period: float, waits: list[float]) -> None:
    schedule, now, told = Schedule(100.0, period), 100.0, []
    for wait in waits:
        now += wait
        told += schedule.due(now)
    assert told == [100.0 + number * period for number in range(len(told))]
    assert all(at <= now + 1e-9 for at in told)
    assert schedule.next > now - 1e-9


def test_a_timer_that_fires_at_the_intended_start_finds_it_due() -> None:
    """The intended start itself must be due, or the loop would wake up for it again and again."""
    schedule = Schedule(1_000_000.1, 1 / 3)
    for number in range(10_000):
        assert len(schedule.due(schedule.next)) == 1, number


def test_streams_of_one_rate_are_not_due_at_the_same_instant() -> None:
    assert [schedule.next for schedule in staggered(10.0, [0.1, 0.1, 0.2, 0.1])] == [10.0, 10.025, 10.1, 10.075]

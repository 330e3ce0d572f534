"""The schedule: as many arrivals as the integral of the rate, no drift, and phases that switch at any time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.profile import Profile
from harness.load.schedule import ArrivalSchedule
from harness.observation import PHASES
from tests.unit.load.test_profile import profile

shares = st.one_of(st.just(0.0), st.floats(0.01, 1.0))
curves = st.lists(st.tuples(st.floats(0.0, 8.0), shares), min_size=1, max_size=5).map(
    lambda points: [(at - min(points)[0], share) for at, share in sorted(points, key=lambda point: point[0])]
)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Any profile: jumps, zero rates, phases left out."""
    named = draw(st.sets(st.sampled_from(PHASES[1:])))
    phases = {name: draw(curves) for name in ("baseline", *sorted(named))}
    if all(share == 0 for curve in phases.values() for _, share in curve):
        phases["baseline"].append((9.0, 1.0))
    return profile(**phases)


def due_until(schedule: ArrivalSchedule, end: float) -> list[float]:
    found = []
    while (due := schedule.peek()) is not None and due <= end:
        assert schedule.take() == due
        found.append(due)
    return found


def area(shape: Profile, rate: float, phase: str, start: float, end: float) -> float:
    """The integral of the rate, by a sum of trapezoids over every bend: independent of how the schedule solves it."""
    curve = shape.curve(phase)
    times = [start, *(point.at for point in curve if start < point.at < end), end]
    total = 0.0
    for left, right in pairwise(times):
        inner = (right - left) * 1e-9
        rates = (shape.arrivals_per_second(phase, at, rate) for at in (left + inner, right - inner))
        total += sum(rates) / 2 * (right - left)
    return total


@settings(deadline=None)
@given(shape=profiles(), rate=st.floats(0.1, 200), start=st.floats(0, 1e6), length=st.floats(0.1, 20))
def test_arrivals_in_a_phase_are_the_integral_of_its_rate(
    shape: Profile, rate: float, start: float, length: float
) -> None:
    schedule = ArrivalSchedule(shape, rate)
    schedule.enter("baseline", start)
    found = due_until(schedule, start + length)
    assert abs(len(found) - area(shape, rate, "baseline", 0.0, length)) <= 1.001
    assert found == sorted(found)
    assert all(start <= due <= start + length for due in found)


@settings(deadline=None)
@given(
    shape=profiles(),
    rate=st.floats(1, 100),
    lengths=st.lists(st.floats(0.5, 6), min_size=4, max_size=4),
)
def test_arrivals_over_all_phases_are_the_integral_however_late_the_switches_become_known(
    shape: Profile, rate: float, lengths: list[float]
) -> None:
    schedule, now, expected, found = ArrivalSchedule(shape, rate), 100.0, 0.0, []
    origin, curve_of = now, PHASES[0]
    for phase, length in zip(PHASES, lengths, strict=True):
        schedule.enter(phase, now)
        if phase == PHASES[0] or shape.names(phase):
            origin, curve_of = now, phase
        expected += area(shape, rate, curve_of, now - origin, now - origin + length)
        now += length
        found += due_until(schedule, now)
    assert abs(len(found) - expected) <= 1.01
    assert found == sorted(found)


def test_a_constant_rate_does_not_drift() -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 1.0)]), 50)
    schedule.enter("baseline", 123_456.789)
    for _ in range(50_000):
        last = schedule.take()
    assert last == pytest.approx(123_456.789 + 1000, abs=1e-6)


@pytest.mark.parametrize("short", [2.2e-308, 1e-300, 1e-12])
def test_two_points_that_no_clock_tells_apart_are_a_jump(short: float) -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.1), (short, 1.0)]), 10)
    schedule.enter("baseline", 0.0)
    assert [schedule.take() for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_nothing_is_due_before_a_phase_was_entered() -> None:
    assert ArrivalSchedule(profile(baseline=[(0, 1.0)]), 50).peek() is None


def test_a_rate_of_zero_holds_arrivals_back_until_a_phase_brings_one() -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.0)], fault=[(0, 1.0)]), 10)
    schedule.enter("baseline", 0.0)
    assert schedule.take() is None
    schedule.enter("fault", 30.0)
    assert schedule.take() == pytest.approx(30.1)


def test_a_switch_that_lies_ahead_bends_the_rate_at_its_own_instant() -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.1)], fault=[(0, 1.0)]), 10)
    schedule.enter("baseline", 0.0)
    schedule.enter("fault", 0.5)
    # Half an arrival is due by 0.5 s at 1/s, the other half takes 0.05 s at 10/s.
    assert [schedule.take(), schedule.take()] == pytest.approx([0.55, 0.65])


def test_a_phase_without_a_curve_lets_the_curve_before_it_run_on() -> None:
    shape = profile(baseline=[(0, 0.0), (10, 1.0)])
    through, switched = ArrivalSchedule(shape, 20), ArrivalSchedule(shape, 20)
    for schedule in (through, switched):
        schedule.enter("baseline", 0.0)
    switched.enter("fault", 5.0)
    assert due_until(switched, 20) == due_until(through, 20)

"""The schedule: as many arrivals as the integral of the rate, no drift, and phases that switch at any time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.phase_names import PHASES
from harness.traffic.load.profile import Profile
from harness.traffic.load.schedule import ArrivalSchedule, ArrivalShare
from tests.unit.traffic.load.test_profile import profile

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


def teeth(*, first: float = 3.0) -> Profile:
    """Half the rate for some seconds, then teeth of 2 s without end, from the baseline on."""
    shape = profile(baseline=[(0, 0.5), (first, 0.5), (first, 0.0), (first + 2, 1.0)])
    return shape.model_copy(update={"repeat": {"baseline": 2.0}})


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
def test_arrivals_are_the_integral_even_if_switches_come_late(
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
def test_indistinguishable_points_are_a_jump(short: float) -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.1), (short, 1.0)]), 10)
    schedule.enter("baseline", 0.0)
    assert [schedule.take() for _ in range(3)] == pytest.approx([0.1, 0.2, 0.3])


def test_no_arrival_is_due_before_the_first_phase() -> None:
    assert ArrivalSchedule(profile(baseline=[(0, 1.0)]), 50).peek() is None


def test_zero_rate_holds_arrivals_until_a_later_phase() -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.0)], fault=[(0, 1.0)]), 10)
    schedule.enter("baseline", 0.0)
    assert schedule.take() is None
    schedule.enter("fault", 30.0)
    assert schedule.take() == pytest.approx(30.1)


def test_future_switch_changes_the_rate_at_its_own_time() -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.1)], fault=[(0, 1.0)]), 10)
    schedule.enter("baseline", 0.0)
    schedule.enter("fault", 0.5)
    # Half an arrival is due by 0.5 s at 1/s, the other half takes 0.05 s at 10/s.
    assert [schedule.take(), schedule.take()] == pytest.approx([0.55, 0.65])


def test_phase_without_a_curve_continues_the_one_before() -> None:
    shape = profile(baseline=[(0, 0.0), (10, 1.0)])
    through, switched = ArrivalSchedule(shape, 20), ArrivalSchedule(shape, 20)
    for schedule in (through, switched):
        schedule.enter("baseline", 0.0)
    switched.enter("fault", 5.0)
    assert due_until(switched, 20) == due_until(through, 20)


def own_until(share: ArrivalShare, end: float) -> list[tuple[int, float]]:
    """The numbers and intended starts that one worker takes until ``end``."""
    found = []
    while (due := share.peek()) is not None and due <= end:
        found.append((share.take(), due))
    return found


@settings(deadline=None)
@given(
    shape=profiles(),
    rate=st.floats(1, 100),
    lengths=st.lists(st.floats(0.5, 3), min_size=4, max_size=4),
    lead=st.floats(0.1, 0.4),
    heard=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=5),
)
def test_workers_together_start_the_arrivals_of_one(
    shape: Profile, rate: float, lengths: list[float], lead: float, heard: list[float]
) -> None:
    """To the last bit, although each hears of a switch at another moment before it applies."""
    workers = len(heard)

    def taken(worker: int, of: int, delay: float) -> tuple[list[tuple[int, float]], tuple[int, int]]:
        share, now, found = ArrivalShare(ArrivalSchedule(shape, rate), worker, of), 1000.0, []
        for phase, length in zip(PHASES, lengths, strict=True):
            found += own_until(share, now + delay * lead)
            assert share.enter(phase, now, now + lead)
            now += length
        return found + own_until(share, now), share.total(now)

    alone, whole = taken(0, 1, 0.0)
    shares = [taken(worker, workers, heard[worker]) for worker in range(workers)]
    assert sorted(one for found, _ in shares for one in found) == alone
    assert {total for _, total in shares} == {whole}
    assert all((number - 1) % workers == worker for worker, (found, _) in enumerate(shares) for number, _ in found)
    assert whole[0] == len(alone)


def test_late_switch_of_a_worker_is_noticed() -> None:
    shape = profile(baseline=[(0, 1.0)], fault=[(0, 0.5)])
    share = ArrivalShare(ArrivalSchedule(shape, 10), worker=1, workers=2)
    assert share.enter("baseline", 0.0, 0.2)
    assert own_until(share, 1.0) == [(number, pytest.approx(0.2 + number / 10)) for number in (2, 4, 6, 8)]
    assert not share.enter("fault", 0.5, 0.7)


def test_curve_keeps_its_zero_if_it_applies_later() -> None:
    schedule = ArrivalSchedule(profile(baseline=[(0, 0.0), (2, 0.0), (2, 1.0)]), 10)
    schedule.enter("baseline", 0.0, 0.5)
    assert schedule.take() == pytest.approx(2.1)


@pytest.mark.parametrize("rate", [0.3, 7.0, 100.0])
def test_curve_that_repeats_has_its_area_in_every_period(rate: float) -> None:
    schedule = ArrivalSchedule(teeth(), rate)
    schedule.enter("baseline", 50.0)
    found = due_until(schedule, 50.0 + 3.0 + 200 * 2.0)
    # 3 s at half the rate, 200 teeth with half of the rate on average.
    assert abs(len(found) - rate * (1.5 + 200)) <= 1.001
    assert schedule.due_between(53.0, 55.0) == pytest.approx(rate)
    assert schedule.due_between(152.0, 154.0) == pytest.approx(rate)
    assert schedule.due_between(50.0, 54.0) == pytest.approx(rate * (1.5 + 0.25))


def test_periods_do_not_drift_over_a_day() -> None:
    schedule = ArrivalSchedule(teeth(first=0.0), 1.0)
    schedule.enter("baseline", 0.0)
    # One arrival for each tooth: after a day each is still at the same place in it.
    last = due_until(schedule, 86_400.0)[-1]
    assert last == pytest.approx(86_400.0, abs=1e-6)


def test_phase_ends_a_curve_that_repeats() -> None:
    shape = Profile.model_validate(
        {
            **teeth(first=0.0).model_dump(by_alias=True),
            "phases": {**teeth(first=0.0).phases, "fault": [{"at": 0, "share": 1.0}]},
        }
    )
    schedule = ArrivalSchedule(shape, 10.0)
    schedule.enter("baseline", 0.0)
    schedule.enter("fault", 5.0)
    assert schedule.due_between(0.0, 7.0) == pytest.approx(10 + 10 + 2.5 + 20)
    assert len(due_until(schedule, 7.0)) == 42

"""The times of a recording as arrivals."""

from __future__ import annotations

import copy

import pytest

from harness.traffic.load.replay.schedule import ReplaySchedule
from harness.traffic.load.schedule import ArrivalShare


def taken(schedule: ReplaySchedule, count: int) -> list[float | None]:
    return [schedule.take() for _ in range(count)]


def test_arrivals_have_the_recorded_times_and_start_again() -> None:
    schedule = ReplaySchedule([0, 0.5, 2], period=3, speed=1)
    assert schedule.peek() is None
    schedule.enter("baseline", 100)
    assert taken(schedule, 7) == [100, 100.5, 102, 103, 103.5, 105, 106]


def test_speed_divides_all_times() -> None:
    schedule = ReplaySchedule([0, 0.5, 2], period=3, speed=2)
    schedule.enter("baseline", 100)
    assert taken(schedule, 4) == [100, 100.25, 101, 101.5]


def test_later_phases_change_nothing() -> None:
    schedule = ReplaySchedule([0, 1], period=2, speed=1)
    schedule.enter("baseline", 100, 100.25)
    assert taken(schedule, 1) == [100.25]
    schedule.enter("fault", 101)
    assert taken(schedule, 2) == [101.25, 102.25]
    assert schedule.last == 102.25


def test_a_copy_continues_on_its_own() -> None:
    schedule = ReplaySchedule([0, 1], period=2, speed=1)
    schedule.enter("baseline", 0)
    ahead = copy.copy(schedule)
    taken(ahead, 3)
    assert schedule.peek() == 0


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_divide_the_recording(workers: int) -> None:
    found = []
    for worker in range(workers):
        share = ArrivalShare(ReplaySchedule([0, 0.5, 2], period=3, speed=1), worker, workers)
        share.enter("baseline", 100)
        while (due := share.peek()) is not None and due < 130:
            found.append((due, share.take()))
    assert sorted(found) == [(100 + 3 * (index // 3) + [0, 0.5, 2][index % 3], index + 1) for index in range(30)]

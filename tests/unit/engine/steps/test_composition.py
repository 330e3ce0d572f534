"""The schedule of composed faults: what is due when, without any fault."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from harness.common.errors import Inconclusive
from harness.engine.steps.composition import Composition
from harness.experiment.timing import Condition, Timing


def timing(**given: Any) -> Timing:
    return Timing.model_validate(given)


def never(_condition: Condition) -> bool:
    return False


def always(_condition: Condition) -> bool:
    return True


def free(_timing: Timing) -> bool:
    return False


def held(_timing: Timing) -> bool:
    return True


def scheduled(timings: list[Timing], begun: float, until: float, seed: int = 7) -> Composition:
    return Composition(timings, begun, until, random.Random(seed))


def played(timings: list[Timing], until: float = 30.0) -> list[tuple[float, str]]:
    """Return what happens when, if every call takes no time: ``+2`` is an injection of fault 2, ``-2`` its undo."""
    schedule, now, count = scheduled(timings, 0.0, until), 0.0, 0
    happened: list[tuple[float, str]] = []
    of: dict[int, int] = {}
    while now < until:
        schedule.look(now, never)
        ended = schedule.ended(now)
        for injection in ended:
            schedule.undo(injection, now)
            happened.append((now, f"-{of[injection]}"))
        due = [] if ended else schedule.due(now, free)
        for number in due:
            schedule.inject(number, count, now)
            of[count] = number
            count += 1
            happened.append((now, f"+{number}"))
        now = now if ended or due else min(schedule.next(now), until)
    return happened


def test_fault_without_times_is_injected_at_once_and_stays() -> None:
    assert played([Timing()]) == [(0.0, "+0")]


def test_fault_is_undone_after_its_length() -> None:
    assert played([timing(at=3, **{"for": 5})]) == [(3.0, "+0"), (8.0, "-0")]


def test_fault_is_repeated_and_undone_each_time() -> None:
    repeated = timing(at=1, every=10, times=3, **{"for": 2})
    assert played([repeated]) == [
        *((1.0, "+0"), (3.0, "-0"), (11.0, "+0"), (13.0, "-0"), (21.0, "+0"), (23.0, "-0")),
    ]


def test_fault_after_another_waits_for_its_undo() -> None:
    faults = [timing(after="first", at=2), timing(name="first", **{"for": 4})]
    assert played(faults) == [(0.0, "+1"), (4.0, "-1"), (6.0, "+0")]


def test_fault_after_a_repeated_one_waits_for_the_last_time() -> None:
    faults = [timing(name="kills", every=5, times=2), timing(after="kills")]
    assert played(faults) == [(0.0, "+0"), (5.0, "+0"), (5.0, "+1")]


def test_late_injection_does_not_shift_the_next_one() -> None:
    schedule = scheduled([timing(every=10, times=3)], 100.0, 140.0)
    schedule.look(100.0, never)
    schedule.inject(0, 0, 104.0)
    assert schedule.next(104.0) == 110.0


def test_condition_starts_the_time_when_it_is_met() -> None:
    schedule = scheduled([timing(at=1, when={"rollout": "deployment/shop", "is": "progressing"})], 0.0, 30.0)
    schedule.look(0.0, never)
    assert (schedule.due(20.0, free), schedule.next(20.0)) == ([], 30.0)
    assert (schedule.waits(never), schedule.waits(always)) == (False, True)
    schedule.look(7.0, always)
    assert (schedule.due(7.5, free), schedule.due(8.0, free), schedule.next(7.5)) == ([], [0], 8.0)


@pytest.mark.parametrize(("within", "deadline"), [(None, 30.0), ("4s", 4.0), ("2m", 30.0)])
def test_unmet_condition_is_inconclusive_at_its_deadline(within: str | None, deadline: float) -> None:
    when = {"rollout": "deployment/shop", "is": "complete"} | ({"within": within} if within else {})
    schedule = scheduled([timing(when=when)], 0.0, 30.0)
    schedule.look(0.0, never)
    schedule.look(deadline - 0.1, never)
    assert schedule.next(deadline - 0.1) == deadline
    with pytest.raises(Inconclusive, match="not seen that the rollout of deployment/shop is complete"):
        schedule.look(deadline, never)


def test_condition_is_not_looked_at_before_its_turn() -> None:
    when = {"rollout": "deployment/shop", "is": "complete", "within": "5s"}
    schedule = scheduled([timing(name="first", at=10), timing(after="first", when=when)], 0.0, 30.0)
    schedule.look(8.0, always)
    assert schedule.due(8.0, free) == []
    schedule.inject(0, 0, 10.0)
    schedule.look(10.0, never)
    assert schedule.next(10.0) == 15.0


def test_fault_after_another_waits_for_its_evidence() -> None:
    proven: set[int] = set()
    faults = [timing(name="paused", at=3), timing(after="paused", at=7)]
    schedule = Composition(faults, 0.0, 30.0, random.Random(7), lambda number: number in proven)
    schedule.look(3.0, never)
    schedule.inject(0, 0, 3.0)
    schedule.look(12.0, never)
    assert (schedule.due(12.0, free), schedule.waits(never), schedule.next(12.0)) == ([], False, math.inf)
    proven.add(0)
    assert schedule.waits(never)
    schedule.look(12.5, never)
    assert schedule.due(12.5, free) == [1]


def test_nothing_is_due_without_faults() -> None:
    assert scheduled([], 0.0, 30.0).next(0.0) == math.inf


def test_jitter_delays_each_injection_by_the_seed() -> None:
    def times(seed: int) -> list[float]:
        schedule, found = scheduled([timing(every=10, times=3, jitter=4)], 0.0, 60.0, seed), [0.0]
        schedule.look(0.0, never)
        for number in range(3):
            found.append(schedule.next(found[-1]))
            schedule.inject(0, number, found[-1])
        return found[1:]

    first = times(1)
    assert all(10.0 * number <= at <= 10.0 * number + 4.0 for number, at in enumerate(first))
    assert len({at % 10 for at in first}) == 3
    assert first == times(1) != times(2)


def test_held_fault_is_due_later_and_not_forgotten() -> None:
    schedule = scheduled([timing(at=5, downBelow=1)], 0.0, 30.0)
    schedule.look(0.0, never)
    assert (schedule.due(6.0, held), schedule.next(6.0), schedule.over) == ([], math.inf, False)
    assert schedule.due(9.0, free) == [0]

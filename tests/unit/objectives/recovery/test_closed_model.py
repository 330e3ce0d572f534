"""The user clock under users that wait: few samples in an outage, so wide bounds, and the truth within them."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from harness.objectives.recovery import Recovery, recoveries
from tests.unit.objectives.recovery.test_simulated_outages import Service
from tests.unit.timelines import PODINFO, Story


def talk(service: Service, users: int, think: float, seed: int) -> Story:
    """Each user sends its next request some time after the last one has ended; until 40 s after the outage."""
    rng = random.Random(seed)
    story = Story(baseline=10, fault=10, recovery=service.back + 19, settle=0).injected(service.down - 0.05)
    seen = []
    for _ in range(users):
        at = rng.uniform(0, think)
        while at < service.back + 40:
            ok, answered = service.answer(at)
            seen.append((at, ok, answered - at))
            at = answered + rng.uniform(0.5, 1.5) * think
    for at, ok, took in sorted(seen, key=lambda one: one[0] + one[2]):
        story.request(at, ok=ok, took=took)
    return story


def clock(story: Story) -> Recovery:
    (found,) = recoveries(story.timeline, PODINFO, clocks=["user"])
    return found


@pytest.mark.parametrize("manner", ["refuses", "swallows", "keeps"])
@pytest.mark.parametrize("seed", range(12))
def test_the_recovery_is_within_the_bounds(manner: str, seed: int) -> None:
    rng = random.Random(seed)
    service = Service(10, 10 + rng.uniform(0.5, 8), manner, time_out=rng.choice([1.0, 5.0, 30.0]))
    found = clock(talk(service, users=rng.choice([1, 3, 20]), think=rng.choice([0.05, 0.5]), seed=seed))
    length = service.back - service.down
    if found.length is None:
        assert found.state == "no data"
        return
    assert found.length.low - 0.2 <= length
    assert found.length.high >= length - 0.2


def test_users_that_all_hang_leave_a_wide_interval() -> None:
    """Cut off at once, they all time out after 30 s: nothing is known of the 25 s after the service was back."""
    story = talk(Service(10, 15, "swallows", time_out=30.0), users=5, think=0.2, seed=1)
    found = clock(story)
    assert found.state == "recovered"
    assert found.length is not None
    assert found.length.low < 5
    assert found.length.high > 29


def test_a_stall_without_failures_is_not_excluded() -> None:
    """Requests that waited for the service and succeeded: no failure, and an outage of that length is possible."""
    story = talk(Service(10, 16, "keeps", time_out=30.0), users=5, think=0.2, seed=2)
    found = clock(story)
    assert found.state in {"not disrupted", "recovered"}
    assert found.length is not None
    assert found.length.high >= 5.9


def test_samples_get_fewer_while_users_wait() -> None:
    """What the bounds above are about: the pace of the records falls in the outage."""
    story = talk(Service(10, 15, "swallows", time_out=30.0), users=5, think=0.2, seed=1)
    starts = sorted(request.started for request in story.timeline.requests)
    assert max(later - earlier for earlier, later in pairwise(starts)) > 25

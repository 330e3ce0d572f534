"""Sessions by the real load process, on loopback: their pauses, their clock, and their end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.traffic.load.driver import RunningLoad
from tests.integration.target_server import Target, serving
from tests.integration.test_load import CLOCK, PATIENCE, load_for, plan


@pytest.fixture
def target() -> Iterator[Target]:
    with serving() as target:
        yield target


def test_sessions_start_by_the_clock_while_others_pause(target: Target, tmp_path: Path) -> None:
    steps = [{"name": "one"}, {"name": "two", "path": "/b"}]
    made = plan(target, behaviour="session", options={"think": 0.5, "steps": steps})
    with RunningLoad.start(made, tmp_path / "load", CLOCK) as load:
        seen = load_for(load, 60)
        summary = load.stop()
    first = sorted(request.intended for request in seen if request.name == "one")
    assert first[:30] == pytest.approx([(number + 1) / 50 for number in range(30)], abs=1e-5)
    # The later request of a session counts from its own start, half a second after the first one ended.
    second = sorted((request for request in seen if request.name == "two"), key=lambda request: request.intended)
    assert all(request.intended == request.started for request in second)
    assert second[0].started - first[0] >= 0.5
    assert (summary.failed, summary.dropped, summary.error) == (0, 0, "")


def test_sessions_that_pause_end_with_the_load(target: Target, tmp_path: Path) -> None:
    steps = [{"name": "one"}, {"name": "two"}]
    made = plan(target, behaviour="session", options={"think": PATIENCE, "steps": steps})
    with RunningLoad.start(made, tmp_path / "load", CLOCK) as load:
        load_for(load, 20)
        asked = CLOCK.monotonic()
        summary = load.stop()
        took = CLOCK.monotonic() - asked
        names = Counter(request.name for request in load.requests(0.0))
    assert took < PATIENCE / 4
    assert names == {"one": summary.achieved}
    assert (summary.error, summary.dropped) == ("", 0)

"""What surprise mode draws: inside the windows, repeatable with the salt, and unknown without it."""

from __future__ import annotations

import random
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gameday.calendar import Calendar, Freeze
from harness.gameday.surprise import Draw, Surprise, draw, draw_start, opened, place

MONDAY = datetime.fromisoformat("2026-11-23T06:00:00+00:00").timestamp()
HOUR = 3600.0
WORK = Calendar(allow=["Mon-Fri 09:00-12:00", "Mon-Fri 14:00-16:00"])
TURNS = ["a", "b", "c", "d", "e"]


def _draw(salt: str, seed: int = 7, within: float = 10 * HOUR) -> Draw:
    found = draw(Surprise(within=within), WORK, TURNS, seed=seed, salt=salt, now=MONDAY, seconds=60)
    assert found is not None
    return found


@settings(deadline=None)
@given(st.integers(), st.integers(0, 14 * 24), st.integers(1, 72), st.integers(0, 7000))
def test_start_is_inside_a_window_and_in_time(seed: int, hours: int, within: int, seconds: int) -> None:
    after = MONDAY + hours * HOUR
    calendar = WORK.model_copy(update={"freeze": [Freeze.model_validate({"from": "2026-11-25", "reason": "x"})]})
    start = draw_start(random.Random(seed), calendar, after, after + within * HOUR, seconds)
    if start is None:
        first = calendar.next_start(after, seconds)
        assert first is None or first > after + within * HOUR
    else:
        assert after <= start <= after + within * HOUR
        assert calendar.refusal(start, seconds) is None


def test_every_part_of_the_windows_may_be_drawn() -> None:
    assert {int(_draw(str(salt)).start % 86_400 // HOUR) for salt in range(200)} == {9, 10, 11, 14, 15}


def test_draw_is_repeatable_with_seed_and_salt_only() -> None:
    assert _draw("00") == _draw("00")
    drawn = [_draw(salt) for salt in "0123456789"]
    assert len({each.start for each in drawn}) > 5
    assert len({each.victim_seed for each in drawn}) == 10


def test_order_is_fixed_by_the_salt_only() -> None:
    orders = {tuple(sorted(TURNS, key=lambda title: place(title, salt))) for salt in "0123456789"}
    assert len(orders) > 5
    assert [place("a", "0"), place("a", "0")] == [place("a", "0")] * 2


def test_start_at_once_needs_an_open_window() -> None:
    at_once = Surprise(within=0)
    assert draw(at_once, WORK, TURNS, seed=7, salt="00", now=MONDAY, seconds=60) is None
    nine = MONDAY + 3 * HOUR
    found = draw(at_once, WORK, TURNS, seed=7, salt="00", now=nine, seconds=60)
    assert found is not None
    assert found.start == nine


def test_sealed_draw_is_opened_as_it_was() -> None:
    found = _draw("00")
    plan = found.sealed("friday", 7, "00")
    assert opened(plan) == found
    assert plan.plan["runSeed"] == 7
    assert plan.plan["gameDay"] == "friday"

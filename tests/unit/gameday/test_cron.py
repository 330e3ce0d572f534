"""Cron schedules as Kubernetes reads them, with real time zones."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gameday.calendar import Calendar
from harness.gameday.cron import read_schedule, schedule_problems

NOW = datetime.fromisoformat("2026-11-23T10:00:00+00:00").timestamp()  # a Monday
BERLIN = "Europe/Berlin"


def _next(text: str, after: str, zone: str = BERLIN, count: int = 3) -> list[str]:
    begin = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).timestamp()
    found = islice(read_schedule(text).times(begin, zone), count)
    return [f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%a %Y-%m-%d %H:%M %Z}" for at in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30 9 * * 1-5", "Mon 2026-11-23 09:30 CET"),
        ("0 9 * * mon", "Mon 2026-11-23 09:00 CET"),
        ("0 9 ? dec ?", "Tue 2026-12-01 09:00 CET"),
        ("5/20 0 * * *", "Mon 2026-11-23 00:05 CET"),
        ("0 0 */2 * 2", "Tue 2026-11-24 00:00 CET"),  # a step is a restriction: one of day and weekday is enough
        ("0 0 29 2 *", "Tue 2028-02-29 00:00 CET"),
        ("0 0 31 2 3", "Wed 2027-02-03 00:00 CET"),  # 31 February does not exist, but Wednesdays do
        ("@daily", "Tue 2026-11-24 00:00 CET"),
        ("@weekly", "Sun 2026-11-29 00:00 CET"),
        ("@every 90m", "Mon 2026-11-23 01:30 CET"),
    ],
)
def test_next_time_is_that_of_kubernetes(text: str, expected: str) -> None:
    assert _next(text, "2026-11-23 00:00", count=1) == [expected]


def test_time_that_the_clock_skips_is_not_run() -> None:
    assert _next("30 2 * * *", "2026-03-28 12:00") == [
        "Mon 2026-03-30 02:30 CEST",
        "Tue 2026-03-31 02:30 CEST",
        "Wed 2026-04-01 02:30 CEST",
    ]


def test_time_that_occurs_twice_is_run_twice() -> None:
    assert _next("30 2 * * *", "2026-10-24 12:00") == [
        "Sun 2026-10-25 02:30 CEST",
        "Sun 2026-10-25 02:30 CET",
        "Mon 2026-10-26 02:30 CET",
    ]


def test_moment_of_the_clock_change_may_match() -> None:
    assert _next("0 3 * * *", "2026-03-28 12:00", count=1) == ["Sun 2026-03-29 03:00 CEST"]


def test_day_that_a_zone_skips_is_not_run() -> None:
    assert _next("0 12 30 12 *", "2011-06-01 00:00", "Pacific/Apia", 1) == ["Sun 2012-12-30 12:00 +14"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("0 0 31 2 *", "never runs"),
        ("0 0 31 4,6,9,11 *", "never runs"),
        ("0 0 30 2 *", "never runs"),
        ("60 * * * *", "minute: found '60', expected 0 to 59"),
        ("0 24 * * *", "hour: found '24'"),
        ("0 0 0 * *", "day of month: found '0'"),
        ("0 0 * 13 *", "month: found '13', expected 1 to 12 or one of jan"),
        ("0 0 * * 7", "day of week: found '7', expected 0 to 6"),
        ("0 0 * * fri-mon", "does not end before it begins"),
        ("*/0 * * * *", "a step of at least 1"),
        ("0 0 L * *", "day of month: found 'L'"),
        (", * * * *", "minute: found ',', expected a value"),
        ("0 9 * *", "with 4 fields, expected 5"),
        ("0 0 9 * * *", "with 6 fields, expected 5"),
        ("", "with 0 fields"),
        ("@dayly", "did you mean @daily?"),
        ("@every soon", "expected a duration"),
        ("@every 0s", "expected an interval"),
        ("TZ=Europe/Berlin 0 9 * * *", "set timeZone instead"),
    ],
)
def test_schedule_that_kubernetes_refuses_is_refused(text: str, wrong: str) -> None:
    [problem] = schedule_problems(text, "UTC", NOW)
    assert wrong in problem


def test_all_problems_of_a_schedule_are_reported_at_once() -> None:
    problems = schedule_problems("60 24 * * *", "Europe/Berlim", NOW)
    assert len(problems) == 2
    assert "minute" in problems[0]
    assert "hour" in problems[0]
    assert "did you mean Europe/Berlin?" in problems[1]


def test_schedule_outside_of_the_windows_is_refused() -> None:
    calendar = Calendar(time_zone=BERLIN, allow=["Mon-Fri 09:00-16:00"])
    assert schedule_problems("0 10 * * 1", BERLIN, NOW, calendar) == []
    assert schedule_problems("0 8 * * 1", "UTC", NOW, calendar) == []
    [problem] = schedule_problems("0 10 * * 6", BERLIN, NOW, calendar)
    assert "never runs within Mon-Fri 09:00-16:00" in problem


_FIELD = st.sampled_from(["*", "*/7", "0", "3-5", "1,4", "2/3"])


@settings(deadline=None, max_examples=50)
@given(
    fields=st.tuples(_FIELD, _FIELD, st.sampled_from(["*", "1", "31", "*/10"]), st.just("*"), _FIELD),
    after=st.integers(1_700_000_000, 1_900_000_000),
    zone=st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_next_time_matches_and_none_before_it_does(fields: tuple[str, ...], after: int, zone: str) -> None:
    schedule = read_schedule(" ".join(fields))
    found = schedule.next_after(after, zone)
    assert found is not None
    assert found > after
    assert _matches(fields, found, zone)
    minutes = range(after // 60 + 1, min(int(found) // 60, after // 60 + 3000))
    assert not any(_matches(fields, minute * 60, zone) for minute in minutes)


def _matches(fields: tuple[str, ...], at: float, zone: str) -> bool:
    """Whether a time matches, by the definition of robfig/cron."""
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    values = (local.minute, local.hour, local.day, local.month, (local.weekday() + 1) % 7)
    bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
    minute, hour, day, month, weekday = (
        _has(text, value, *bound) for text, value, bound in zip(fields, values, bounds, strict=True)
    )
    both = fields[2] == "*" or fields[4] == "*"
    return minute and hour and month and ((day and weekday) if both else (day or weekday))


def _has(text: str, value: int, least: int, most: int) -> bool:
    span, _, step = text.partition("/")
    if span == "*":
        return (value - least) % int(step or 1) == 0
    if step:
        return int(span) <= value <= most and (value - int(span)) % int(step) == 0
    if "-" in span:
        low, high = map(int, span.split("-"))
        return low <= value <= high
    return value in map(int, span.split(","))

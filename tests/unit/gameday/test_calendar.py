"""The calendar of a game day: windows, freeze days, and changes of the clock in real time zones."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.gameday.calendar import Calendar, Freeze
from harness.safety.guard.windows import parse_window

BERLIN = "Europe/Berlin"
HOUR = 3600.0
WORK = Calendar.model_validate(
    {
        "timeZone": BERLIN,
        "allow": ["Mon-Fri 09:00-16:00"],
        "freeze": [{"from": "2026-11-27", "reason": "sale"}, {"from": "2026-12-21", "to": "2027-01-01", "reason": "x"}],
    }
)


def _at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def _shown(at: float | None, zone: str = BERLIN) -> str:
    return f"{datetime.fromtimestamp(at, ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}" if at is not None else "never"


def _spans(calendar: Calendar, first: str, days: int = 1) -> list[tuple[str, str]]:
    zone = calendar.time_zone
    begin = _at(f"{first} 00:00", zone)
    return [(_shown(one.start, zone), _shown(one.end, zone)) for one in calendar.spans(begin, begin + days * 86400)]


@pytest.mark.parametrize(
    ("after", "seconds", "expected"),
    [
        ("2026-11-23 08:00", 60, "2026-11-23 09:00 CET"),  # a Monday
        ("2026-11-23 12:34", 60, "2026-11-23 12:34 CET"),
        ("2026-11-23 15:30", HOUR, "2026-11-24 09:00 CET"),
        ("2026-11-26 16:00", 60, "2026-11-30 09:00 CET"),  # Friday is frozen
        ("2026-12-18 16:00", 60, "2027-01-04 09:00 CET"),
        ("2026-11-23 08:00", 8 * HOUR, "never"),
    ],
)
def test_next_start_is_inside_and_not_frozen(after: str, seconds: float, expected: str) -> None:
    assert _shown(WORK.next_start(_at(after), seconds)) == expected


def test_window_over_midnight_ends_on_the_next_day() -> None:
    night = Calendar(time_zone=BERLIN, allow=["Fri 22:00-04:00"])
    assert night.refusal(_at("2026-11-28 03:00"), HOUR) is None
    assert night.refusal(_at("2026-11-28 03:01"), HOUR) is not None
    assert night.refusal(_at("2026-11-27 03:00"), HOUR) is not None, "Thursday night"


def test_freeze_day_cuts_a_window_at_midnight() -> None:
    freeze = [Freeze.model_validate({"from": "2026-11-28", "reason": "sale"})]
    night = Calendar(time_zone=BERLIN, allow=["Fri 22:00-04:00"], freeze=freeze)
    assert _spans(night, "2026-11-27", 2) == [("2026-11-27 22:00 CET", "2026-11-28 00:00 CET")]


def test_adjacent_windows_are_one() -> None:
    week = Calendar(allow=["Mon 20:00-24:00", "Tue 00:00-03:00"])
    assert week.next_start(_at("2026-11-23 20:00", "UTC"), 7 * HOUR) == _at("2026-11-23 20:00", "UTC")


@pytest.mark.parametrize(
    ("day", "window", "spans"),
    [
        # Put forward: 02:00 to 03:00 does not exist.
        ("2026-03-29", "02:30-05:00", [("03:00 CEST", "05:00 CEST")]),
        ("2026-03-29", "01:00-02:30", [("01:00 CET", "03:00 CEST")]),
        ("2026-03-29", "02:15-02:45", []),
        # Put back: 02:00 to 03:00 occurs twice.
        ("2026-10-25", "02:30-05:00", [("02:30 CET", "05:00 CET")]),
        ("2026-10-25", "01:00-02:30", [("01:00 CEST", "02:30 CEST")]),
        ("2026-10-25", "02:15-02:45", [("02:15 CEST", "02:45 CEST")]),
        ("2026-10-25", "01:00-04:00", [("01:00 CEST", "04:00 CET")]),
    ],
)
def test_windows_across_changes_of_the_clock(day: str, window: str, spans: list[tuple[str, str]]) -> None:
    calendar = Calendar(time_zone=BERLIN, allow=[f"Sun {window}"])
    assert _spans(calendar, day) == [(f"{day} {begin}", f"{day} {end}") for begin, end in spans]


def test_window_that_the_change_makes_longer_holds_more() -> None:
    calendar = Calendar(time_zone=BERLIN, allow=["Sun 01:00-04:00"])
    assert calendar.refusal(_at("2026-10-25 01:00"), 4 * HOUR) is None
    assert calendar.refusal(_at("2026-03-29 01:00"), 3 * HOUR) is not None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"timeZone": "Europe/Berlim"}, "did you mean Europe/Berlin"),
        ({"timeZone": "berlin"}, "expected a time zone"),
        ({"timeZone": ""}, "expected a time zone"),
        ({"allow": []}, "at least 1 item"),
        ({"allow": ["Mon 09:00-09:00"]}, "expected a start time before an end time"),
        ({"allow": ["Mon 24:00-01:00"]}, "expected a start time before an end time"),
        ({"allow": ["workdays"]}, "expected days and times such as"),
        ({"freeze": [{"from": "24.12.2026", "reason": "x"}]}, "expected a date"),
        ({"freeze": [{"from": "2026-12-24", "to": "2026-12-23", "reason": "x"}]}, "expected the same day or a later"),
        ({"freeze": [{"from": "2026-12-24"}]}, "Field required"),
        ({"freeze": [{"from": "2026-12-24", "reason": " "}]}, "at least 1 character"),
    ],
)
def test_invalid_calendar_is_refused(fields: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Calendar.model_validate(fields)


def test_windows_that_the_freeze_covers_exclude_all() -> None:
    fields = {"allow": ["Mon 09:00-10:00"], "freeze": [{"from": "2026-01-01", "to": "9999-12-31", "reason": "no"}]}
    problem = Calendar.model_validate(fields).problem(_at("2026-11-23 00:00"))
    assert "excludes all: in the year after 2026-11-22, Mon 09:00-10:00 (UTC) is never open" in problem
    assert "2026-01-01 to 9999-12-31: no" in problem


def test_windows_that_are_too_short_exclude_all() -> None:
    problem = WORK.problem(_at("2026-11-23 00:00"), 8 * HOUR)
    assert "is never open for 8 h" in problem
    assert WORK.problem(_at("2026-11-23 00:00"), 7 * HOUR) == ""


def test_refusal_names_the_time_and_the_reason() -> None:
    assert "it is Fri 2026-11-27 10:00 in Europe/Berlin, and game days are frozen (2026-11-27: sale)" in str(
        WORK.refusal(_at("2026-11-27 10:00"))
    )
    assert "which is not within Mon-Fri 09:00-16:00" in str(WORK.refusal(_at("2026-11-22 10:00")))
    assert "up to 1 h would not start and end within" in str(WORK.refusal(_at("2026-11-23 15:30"), HOUR))


_ZONES = ["UTC", BERLIN, "America/Havana", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]
_DAYS = st.sampled_from(["Mon", "Tue-Thu", "Fri", "Sat", "Sun", "Sat-Mon", "Mon-Sun"])
_QUARTERS = st.sampled_from([f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 15, 30, 45)])
_WINDOWS = st.builds(
    lambda days, begin, end: f"{days} {begin}-{end}" if begin != end else f"{days} {begin}-24:00",
    _DAYS,
    _QUARTERS,
    _QUARTERS,
)
_FREEZES = st.builds(
    lambda first, days: Freeze.model_validate(
        {"from": first.isoformat(), "to": (first + timedelta(days)).isoformat(), "reason": "x"}
    ),
    st.dates(date(2026, 1, 1), date(2027, 12, 31)),
    st.integers(0, 20),
)
_CALENDARS = st.builds(
    lambda zone, allow, freeze: Calendar(time_zone=zone, allow=allow, freeze=freeze),
    st.sampled_from(_ZONES),
    st.lists(_WINDOWS, min_size=1, max_size=3),
    st.lists(_FREEZES, max_size=3),
)
_TIMES = st.integers(1_767_225_600, 1_830_000_000)


def _open(calendar: Calendar, at: float) -> bool:
    """Whether the local clock reads a time inside a window and outside of the freeze, by the plain definition."""
    local = datetime.fromtimestamp(at, ZoneInfo(calendar.time_zone))
    if any(each.since <= local.date() <= each.until for each in calendar.freeze):
        return False
    minute = local.hour * 60 + local.minute + local.second / 60
    for days, begin, end in (parse_window(text, overnight=True) for text in calendar.allow):
        if local.weekday() in days and begin <= minute < end:
            return True
        if (local.weekday() - 1) % 7 in days and minute + 24 * 60 < end:
            return True
    return False


@settings(deadline=None, max_examples=60)
@given(_CALENDARS, _TIMES, st.integers(0, 7200))
def test_next_start_is_open_until_its_end(calendar: Calendar, after: int, seconds: int) -> None:
    start = calendar.next_start(after, seconds, within=60 * 86_400)
    if start is not None:
        assert start >= after
        assert calendar.refusal(start, seconds) is None
        for at in range(int(start), int(start + seconds), 300):
            assert _open(calendar, at)


@settings(deadline=None, max_examples=30)
@given(_CALENDARS, _TIMES)
def test_spans_are_all_of_the_open_time(calendar: Calendar, after: int) -> None:
    spans = calendar.spans(after, after + 3 * 86_400)
    zone = ZoneInfo(calendar.time_zone)
    for at in range(after, after + 3 * 86_400, 900):
        inside = any(span.start <= at < span.end for span in spans)
        assert not inside or _open(calendar, at)
        # On days when the clock changes, less than all may be open.
        steady = len({datetime.fromtimestamp(at + hours * HOUR, zone).utcoffset() for hours in (-30, 30)}) == 1
        assert inside or not steady or not _open(calendar, at)

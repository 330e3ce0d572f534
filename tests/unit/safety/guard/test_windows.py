"""Time windows: an experiment begins only where it would also be over."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from harness.safety.guard.windows import Windows

BERLIN = Windows(time_zone="Europe/Berlin", allow=["Mon-Fri 09:00-16:00"], exclude=["2026-11-24"])


def _at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("when", "seconds", "open_"),
    [
        ("2026-11-23 09:00", 60, True),  # a Monday
        ("2026-11-23 08:59", 60, False),
        ("2026-11-23 15:59", 60, True),
        ("2026-11-23 15:59", 61, False),
        ("2026-11-22 12:00", 60, False),  # a Sunday
        ("2026-11-24 12:00", 60, False),  # excluded
        ("2026-11-27 12:00", 60, True),  # Friday
        ("2026-11-23 12:00", 86_400, False),
    ],
)
def test_a_window_of_working_days(when: str, seconds: float, open_: bool) -> None:
    assert (BERLIN.refusal(_at(when), seconds) is None) is open_


def test_the_clock_is_that_of_the_time_zone() -> None:
    at = _at("2026-11-23 08:30", "UTC")
    assert BERLIN.refusal(at, 60) is None, "half past nine in Berlin"
    assert Windows(time_zone="UTC", allow=["Mon-Fri 09:00-16:00"]).refusal(at, 60) is not None


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"], ids=["put forward", "put back"])
def test_window_follows_local_time_across_clock_changes(day: str) -> None:
    sundays = Windows(time_zone="Europe/Berlin", allow=["Sun 09:00-10:00"])
    assert sundays.refusal(_at(f"{day} 09:00"), 3600) is None
    assert sundays.refusal(_at(f"{day} 08:59"), 60) is not None
    assert sundays.refusal(_at(f"{day} 09:01"), 3600) is not None


def test_windows_may_span_the_week_end_and_reach_midnight() -> None:
    weekend = Windows(allow=["Sat-Mon 00:00-24:00"])
    allowed = [weekend.refusal(_at(f"2026-11-{day} 23:59", "UTC"), 60) is None for day in (20, 21, 22, 23, 24)]
    assert allowed == [False, True, True, True, False]


def test_a_refusal_names_the_time_and_the_windows() -> None:
    text = str(BERLIN.refusal(_at("2026-11-22 12:00"), 90))
    assert "it is Sun 2026-11-22 12:00 in Europe/Berlin" in text
    assert "Mon-Fri 09:00-16:00" in text


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"allow": ["Monday 09:00-16:00"]}, "expected days and times such as"),
        ({"allow": ["Mon-Xyz 09:00-16:00"]}, "expected days and times such as"),
        ({"allow": ["Mon 16:00-09:00"]}, "expected a start time before an end time"),
        ({"allow": ["Mon 09:00-24:01"]}, "expected a start time before an end time"),
        ({"allow": ["Mon 09:60-10:00"]}, "expected a start time before an end time"),
        ({"allow": []}, "at least 1 item"),
        ({"allow": ["Mon 09:00-10:00"], "timeZone": "Mars/Olympus"}, "expected a time zone"),
        ({"allow": ["Mon 09:00-10:00"], "timeZone": "../etc/passwd"}, "expected a time zone"),
        ({"allow": ["Mon 09:00-10:00"], "exclude": ["24.12.2026"]}, "expected a date"),
    ],
)
def test_invalid_window_is_refused(fields: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        Windows.model_validate(fields)

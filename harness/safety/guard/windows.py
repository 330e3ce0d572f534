"""Time windows for experiments, in the time zone of the people on call."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.common.suggestions import did_you_mean

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(r"(\w{3})(?:-(\w{3}))? (\d{2}):(\d{2})-(\d{2}):(\d{2})")
_EXPECTED = "expected days and times such as Mon-Fri 09:00-16:00"
_MIDNIGHT = 24 * 60


def parse_window(text: str, *, overnight: bool = False) -> tuple[frozenset[int], int, int]:
    """Return the weekdays (Monday is 0) and the first and last minute of the day. Raises ValueError.

    If ``overnight``, a window may end on the next day: its last minute is then beyond 24 h.
    """
    found = _WINDOW.fullmatch(text)
    if not found or found[1] not in _DAYS or (found[2] or "Mon") not in _DAYS:
        raise ValueError(f"found {text!r}, {_EXPECTED}")
    first, last = _DAYS.index(found[1]), _DAYS.index(found[2] or found[1])
    # A range such as Sat-Mon crosses the end of the week.
    days = frozenset((first + offset) % 7 for offset in range((last - first) % 7 + 1))
    begin, end = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
    if overnight and end < begin < _MIDNIGHT:
        end += _MIDNIGHT
        limit = _MIDNIGHT + begin
    else:
        limit = _MIDNIGHT
    if max(int(found[4]), int(found[6])) > 59 or not begin < end <= limit:
        same_day = "" if overnight else " of the same day"
        raise ValueError(f"found {text!r}, expected a start time before an end time{same_day} (24:00 at most)")
    return days, begin, end


def _check_window(text: str) -> str:
    parse_window(text)
    return text


def check_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValueError with the closest known name if there is none of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = did_you_mean(name, sorted(available_timezones()))
        hint = f", did you mean {near}?" if near else ""
        raise ValueError(f"found {name!r}, expected a time zone such as Europe/Berlin{hint}") from error
    return name


def check_date(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"found {text!r}, expected a date such as 2026-12-24") from error
    return text


class Windows(BaseModel):
    """When experiments may run. An experiment starts only if it would also end within the same window."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    time_zone: Annotated[str, AfterValidator(check_zone)] = Field(
        default="UTC", description="time zone of the windows, such as Europe/Berlin"
    )
    allow: list[Annotated[str, AfterValidator(_check_window)]] = Field(
        min_length=1, description="days and times, such as Mon-Fri 09:00-16:00"
    )
    exclude: list[Annotated[str, AfterValidator(check_date)]] = Field(
        default_factory=list, description="dates without experiments, such as 2026-12-24"
    )

    def refusal(self, now: float, seconds: float) -> str | None:
        """Return why an experiment of at most ``seconds`` may not begin at ``now`` (Unix seconds), or None."""
        zone = ZoneInfo(self.time_zone)
        begins, ends = datetime.fromtimestamp(now, zone), datetime.fromtimestamp(now + seconds, zone)
        when = f"it is {begins:%a %Y-%m-%d %H:%M} in {self.time_zone}"
        if begins.date().isoformat() in self.exclude:
            return f"{when}, which is a date that the guard excludes"
        if any(_holds(window, begins, ends) for window in self.allow):
            return None
        windows = ", ".join(self.allow)
        return f"{when}, and an experiment of up to {seconds / 60:.0f} min would not start and end within {windows}"


def _holds(window: str, begins: datetime, ends: datetime) -> bool:
    days, begin, end = parse_window(window)
    midnight = datetime.combine(begins.date(), time(), begins.tzinfo)
    # In local time without offsets, so that the end of the window stays right on days when daylight saving changes.
    last = (ends.replace(tzinfo=None) - midnight.replace(tzinfo=None)).total_seconds() / 60
    return begins.weekday() in days and begin <= begins.hour * 60 + begins.minute and last <= end

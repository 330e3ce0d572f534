"""Cron schedules as a Kubernetes CronJob reads them: five fields or a descriptor such as ``@daily``.

Kubernetes uses robfig/cron: names of months and days, ``?`` for any, ``N/step`` from N to the end. Day of month and
day of week must both match if one of them is ``*``; if both are restricted, one is enough. A local time that the clock
skips is not run, and one that occurs twice is run twice. cronsim has other rules for these cases, so it only searches
for the next match, in local times without offsets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from harness.common.suggestions import did_you_mean
from harness.gameday.calendar import YEAR, Calendar, change_between, offset
from harness.model.quantities import counted, parse_duration
from harness.safety.guard.windows import check_zone

# robfig/cron gives up after five years, and a CronJob with such a schedule never runs.
YEARS = 5
_DAY = 86_400.0
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAY_NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(_WEEKDAY_NAMES)}
_DAYS_IN = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: Mapping[str, int]

    def values(self, text: str) -> set[int] | None:
        """Return the values that match; None for any value. Raises ValueError."""
        found: set[int] = set()
        any_value = False
        for part in filter(None, text.split(",")):
            span, slash, step_text = part.partition("/")
            step = self._step(part, step_text) if slash else 1
            low_text, hyphen, high_text = span.partition("-")
            if low_text in {"*", "?"}:
                low, high = self.least, self.most
                any_value = any_value or step == 1
            else:
                low = self._number(part, low_text)
                high = self._number(part, high_text) if hyphen else self.most if slash else low
            if low > high:
                raise ValueError(f"{self.name}: found {part!r}, expected a range that does not end before it begins")
            found.update(range(low, high + 1, step))
        if not found:
            raise ValueError(f"{self.name}: found {text!r}, expected a value")
        return None if any_value else found

    def _number(self, part: str, text: str) -> int:
        number = self.names.get(text.lower(), -1) if not re.fullmatch("[0-9]{1,9}", text) else int(text)
        if not self.least <= number <= self.most:
            names = f" or one of {', '.join(self.names)}" if self.names else ""
            raise ValueError(f"{self.name}: found {part!r}, expected {self.least} to {self.most}{names}")
        return number

    def _step(self, part: str, text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not int(text):
            raise ValueError(f"{self.name}: found {part!r}, expected a step of at least 1")
        return int(text)


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """A schedule: an expression for cronsim (empty if it never matches a date), or an interval in seconds."""

    text: str
    expression: str = ""
    every: float = 0.0

    def times(self, after: float, time_zone: str = "UTC") -> Iterator[float]:
        """Yield the times after ``after`` within the next ``YEARS`` years; all in Unix seconds.

        An interval counts from ``after``.
        """
        at, limit = after, after + YEARS * 366 * _DAY
        while (found := self._next(at, ZoneInfo(time_zone), limit)) is not None:
            yield found
            at = found

    def next_after(self, after: float, time_zone: str = "UTC") -> float | None:
        """Return the first time after ``after`` in Unix seconds; None if there is none within ``YEARS`` years."""
        return next(self.times(after, time_zone), None)

    def _next(self, after: float, zone: ZoneInfo, limit: float) -> float | None:
        if self.every:
            found = float(int(after)) + self.every
            return found if found <= limit else None
        at = float(int(after) + 1)
        while self.expression and at <= limit:
            # As long as the offset stays the same, local time is a plain calendar. cronsim searches after its argument.
            shift = offset(at, zone)
            local = datetime.fromtimestamp(at + shift, UTC).replace(tzinfo=None) - timedelta(seconds=1)
            match = next(CronSim(self.expression, local)).replace(tzinfo=UTC).timestamp() - shift
            changed = _change(at, min(match, limit), shift, zone)
            if changed is None:
                return match if match <= limit else None
            at = changed
        return None


def _change(after: float, until: float, shift: float, zone: ZoneInfo) -> float | None:
    """Return when a zone's offset, which is ``shift`` at ``after``, first changes; None if not up to ``until``."""
    at = after
    while at < until:
        last, at = at, min(at + _DAY, until)
        if offset(at, zone) != shift:
            return change_between(last, at, zone)
    return None


def read_schedule(text: str) -> CronSchedule:
    """Return a schedule from its text. Raises ValueError with everything that is wrong with it."""
    plain = text.strip()
    if plain.startswith(("TZ=", "CRON_TZ=")):
        raise ValueError(f"found {text!r}, expected a schedule without a time zone: set timeZone instead")
    if plain.startswith(_EVERY):
        return CronSchedule(plain, every=_interval(plain.removeprefix(_EVERY)))
    if plain.startswith("@"):
        if plain not in _DESCRIPTORS:
            near = did_you_mean(plain, _DESCRIPTORS)
            hint = f", did you mean {near}?" if near else f": one of {', '.join(_DESCRIPTORS)}, @every 12h"
            raise ValueError(f"found {text!r}, expected a schedule such as @daily{hint}")
        return CronSchedule(plain, _DESCRIPTORS[plain])
    fields = plain.split()
    if len(fields) != len(_FIELDS):
        names = ", ".join(field.name for field in _FIELDS)
        raise ValueError(
            f"found {text!r} with {counted(len(fields), 'field')}, expected {len(_FIELDS)} ({names}) or @daily"
        )
    return CronSchedule(plain, _expression(fields))


def schedule_problems(text: str, time_zone: str, now: float, calendar: Calendar | None = None) -> list[str]:
    """Return everything that is wrong with a schedule and its time zone: also that it never runs.

    With a calendar, a schedule that runs only while the calendar is closed is wrong too. ``now`` is in Unix seconds.
    """
    problems: list[str] = []
    schedule = None
    try:
        schedule = read_schedule(text)
    except ValueError as error:
        problems.append(str(error))
    try:
        check_zone(time_zone)
    except ValueError as error:
        return [*problems, str(error)]
    if schedule is None:
        return problems
    if schedule.next_after(now, time_zone) is None:
        return [f"found {text!r}, which never runs: expected a date that exists within {YEARS} years"]
    if calendar is not None and not _meets(schedule, time_zone, now, calendar):
        return [
            f"found {text!r} ({time_zone}), which never runs within {', '.join(calendar.allow)} "
            f"({calendar.time_zone}) in the next year: expected a time at which the game day may start"
        ]
    return []


def _meets(schedule: CronSchedule, time_zone: str, now: float, calendar: Calendar) -> bool:
    """Return whether a schedule runs at least once within an open span of the next year."""
    for span in calendar.spans(now, now + YEAR):
        at = schedule.next_after(span.start - 1.0, time_zone)
        if at is not None and at < span.end:
            return True
    return False


def _interval(text: str) -> float:
    # Kubernetes reads Go's durations, of which this is the common part; less than a second becomes one second.
    seconds = parse_duration(text)
    if not isinstance(seconds, float) or seconds <= 0:
        raise ValueError(f"found {_EVERY}{text}, expected an interval such as @every 12h")
    return max(1.0, float(int(seconds)))


def _expression(texts: Sequence[str]) -> str:
    """Return the expression for cronsim, as lists of numbers; empty if no date matches. Raises ValueError."""
    values, problems = [], []
    for field, text in zip(_FIELDS, texts, strict=True):
        try:
            values.append(field.values(text))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    days, months, weekdays = values[2:]
    if days is not None:
        # cronsim refuses days that no month has, although the weekday alone may match.
        longest = max(_DAYS_IN[month - 1] for month in (months or range(1, 13)))
        days = {day for day in days if day <= longest}
        if not days and weekdays is None:
            return ""
        values[2] = days or None
    return " ".join("*" if each is None else ",".join(map(str, sorted(each))) for each in values)

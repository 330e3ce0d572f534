"""When a game day may run: weekly windows in a time zone, without the freeze days.

An open span is a stretch of real time in which every reading of the local clock is inside a window and outside of the
freeze days. Where the clock is put back, a local time occurs twice: a window that begins at such a time begins at its
second occurrence, one that ends at such a time ends at its first. Where the clock is put forward, a local time that is
skipped is the moment of the change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from harness.model.quantities import Duration, show_seconds
from harness.safety.guard.windows import check_date, check_zone, parse_window

YEAR = 366 * 86_400.0  # seconds
# The search for a long enough span looks at this much time at once.
_AHEAD = 14 * 86_400.0
ANY_TIME = "Mon-Sun 00:00-24:00"


def _check_window(text: str) -> str:
    parse_window(text, overnight=True)
    return text


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in Unix seconds; ``end`` is no longer part of it."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Freeze(BaseModel):
    """Days without game days, and the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    first: Annotated[str, AfterValidator(check_date)] = Field(alias="from", description="first day, such as 2026-12-20")
    last: Annotated[str, AfterValidator(check_date)] | None = Field(
        default=None, alias="to", description="last day; by default the first day"
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="why nothing may be broken on these days"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until < self.since:
            raise ValueError(f"found to: {self.last} before from: {self.first}, expected the same day or a later one")
        return self

    @property
    def since(self) -> date:
        """The first day."""
        return date.fromisoformat(self.first)

    @property
    def until(self) -> date:
        """The last day."""
        return date.fromisoformat(self.last or self.first)

    def __str__(self) -> str:
        days = str(self.since) if self.until == self.since else f"{self.since} to {self.until}"
        return f"{days}: {self.reason}"


class Calendar(BaseModel):
    """When game days may run. An experiment starts only if it would also end within the same open span."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    time_zone: Annotated[str, AfterValidator(check_zone)] = Field(
        default="UTC", description="time zone of the windows and freeze days, such as Europe/Berlin"
    )
    allow: list[Annotated[str, AfterValidator(_check_window)]] = Field(
        default_factory=lambda: [ANY_TIME],
        min_length=1,
        description="days and times, such as Mon-Fri 09:00-16:00; Fri 22:00-04:00 ends on the next day",
    )
    freeze: list[Freeze] = Field(default_factory=list, description="days without game days")
    wait: Duration = Field(
        default=3600.0,
        description="how long the day waits for a window to open, before or between experiments; then it is aborted",
    )

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of windows and freeze days."""
        return ZoneInfo(self.time_zone)

    def spans(self, after: float, until: float) -> list[Span]:
        """Return the open spans between two times in Unix seconds, in order; adjacent windows are one span."""
        zone = self.zone
        first = datetime.fromtimestamp(after, zone).date() - timedelta(days=2)
        last = datetime.fromtimestamp(until, zone).date() + timedelta(days=1)
        windows = [parse_window(text, overnight=True) for text in self.allow]
        days = (first + timedelta(days=number) for number in range((last - first).days + 1))
        opened = [
            _window(day, begin, end, zone)
            for day in days
            for weekdays, begin, end in windows
            if day.weekday() in weekdays
        ]
        frozen = [
            Span(
                _instants(_at(max(each.since, first), 0), zone)[0],
                _instants(_at(min(each.until, last), 24 * 60), zone)[1],
            )
            for each in self.freeze
            if each.until >= first and each.since <= last
        ]
        clipped = (Span(max(span.start, after), min(span.end, until)) for span in _without(_merged(opened), frozen))
        return [span for span in clipped if span.seconds > 0]

    def next_start(self, after: float, seconds: float = 0.0, within: float = YEAR) -> float | None:
        """Return when something that takes ``seconds`` may start, at ``after`` or later; None if not ``within``.

        All times are in Unix seconds, ``within`` in seconds after ``after``.
        """
        ahead, start = max(_AHEAD, 2 * seconds), after
        while start <= after + within:
            # A span that reaches the end of the stretch may go on behind it.
            for span in self.spans(start, start + ahead):
                if span.seconds >= seconds:
                    return span.start if span.start <= after + within else None
            start += ahead / 2
        return None

    def refusal(self, now: float, seconds: float = 0.0) -> str | None:
        """Return why something that takes ``seconds`` may not start ``now`` (Unix seconds); None if it may."""
        if self.next_start(now, seconds, within=0.0) == now:
            return None
        local = datetime.fromtimestamp(now, self.zone)
        when = f"it is {local:%a %Y-%m-%d %H:%M} in {self.time_zone}"
        windows = f"{', '.join(self.allow)}{self._but_for_freeze()}"
        for each in self.freeze:
            if each.since <= local.date() <= each.until:
                return f"{when}, and game days are frozen ({each})"
        if not seconds:
            return f"{when}, which is not within {windows}"
        return f"{when}, and an experiment of up to {show_seconds(seconds)} would not start and end within {windows}"

    def problem(self, now: float, seconds: float = 0.0) -> str:
        """Return why nothing that takes ``seconds`` can start within a year after ``now``; empty if it can."""
        if self.next_start(now, seconds) is not None:
            return ""
        day = f"{datetime.fromtimestamp(now, self.zone):%Y-%m-%d}"
        begin = f"excludes all: in the year after {day}, {', '.join(self.allow)} ({self.time_zone})"
        if self.next_start(now) is None:
            return f"{begin} is never open{self._but_for_freeze()}"
        return (
            f"{begin} is never open for {show_seconds(seconds)}{self._but_for_freeze()}: "
            f"expected a window as long as the shortest experiment"
        )

    def _but_for_freeze(self) -> str:
        return f", freeze days excepted ({'; '.join(map(str, self.freeze))})" if self.freeze else ""


def offset(at: float, zone: ZoneInfo) -> float:
    """Return the seconds by which a zone's clock is ahead of UTC at a time in Unix seconds."""
    shift = datetime.fromtimestamp(at, zone).utcoffset()
    assert shift is not None
    return shift.total_seconds()


def change_between(low: float, high: float, zone: ZoneInfo) -> float:
    """Return when, in Unix seconds, a zone's offset changes; there is one change after ``low`` up to ``high``."""
    before, first, last = offset(low, zone), int(low), int(high) + 1
    while last - first > 1:
        middle = (first + last) // 2
        if offset(middle, zone) == before:
            first = middle
        else:
            last = middle
    return float(last)


def _at(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _instants(local: datetime, zone: ZoneInfo) -> tuple[float, float]:
    """Return when a zone's clock first and last shows a local time; the change of the clock if it skips that time."""
    first = local.replace(tzinfo=zone).astimezone(UTC).timestamp()
    last = local.replace(tzinfo=zone, fold=1).astimezone(UTC).timestamp()
    if first <= last:
        return first, last
    # Python reads a skipped time with the offset of before, then with that of after the change.
    changed = change_between(last, first, zone)
    return changed, changed


def _window(day: date, begin: int, end: int, zone: ZoneInfo) -> Span:
    starts, ends = _instants(_at(day, begin), zone), _instants(_at(day, end), zone)
    if starts[1] < ends[0]:
        return Span(starts[1], ends[0])
    # The whole window occurs twice: take its first occurrence. A window that is skipped is empty.
    return Span(starts[0], max(starts[0], ends[0]))


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    current: Span | None = None
    for span in sorted(spans, key=lambda each: each.start):
        if current is None or span.start > current.end:
            if current is not None:
                yield current
            current = span
        else:
            current = Span(current.start, max(current.end, span.end))
    if current is not None:
        yield current


def _without(spans: Iterable[Span], frozen: list[Span]) -> Iterator[Span]:
    left = list(spans)
    for gap in frozen:
        left = list(chain.from_iterable(_cut(span, gap) for span in left))
    return iter(left)


def _cut(span: Span, gap: Span) -> Iterator[Span]:
    for part in (Span(span.start, min(span.end, gap.start)), Span(max(span.start, gap.end), span.end)):
        if part.seconds > 0:
            yield part

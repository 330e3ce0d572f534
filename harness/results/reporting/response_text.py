"""Responses, sealed plan and background load of a game day as text, each number with its source."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model.quantities import show_seconds
from harness.results.game_day_load import BackgroundRecord
from harness.results.game_day_record import GameDayRecord
from harness.results.game_day_response import MomentRecord, ResponseRecord


def moments(response: ResponseRecord) -> list[tuple[str, MomentRecord]]:
    """Return the moments of a response with their names, in the order in which they happen."""
    return [
        ("detected", response.detected),
        ("mitigated", response.mitigated),
        ("recovered", response.recovered),
    ]


def moment_text(moment: MomentRecord) -> str:
    """Return a moment with its source, or why it is unknown; never a zero for an unknown one."""
    if moment.seconds is None:
        return f"unknown ({moment.reason or 'no source'})"
    others = f"; also: {', '.join(moment.others)}" if moment.others else ""
    return f"{show_seconds(moment.seconds)} ({moment.source}{others})"


def response_lines(day: GameDayRecord) -> Iterator[str]:
    """Yield one line for each outage of a day."""
    for response in day.responses:
        parts = (f"{name} {moment_text(moment)}" for name, moment in moments(response))
        yield f"{response.experiment}: {', '.join(parts)}"


def sealed_lines(day: GameDayRecord) -> Iterator[str]:
    """Yield the sealed plan of a day: its hash, and its content once it is opened."""
    if day.sealed is None:
        return
    yield f"sealed plan: SHA-256 {day.sealed.hash}"
    if not day.sealed.content:
        yield "the plan is still sealed"
        return
    yield f"content: {day.sealed.content}"
    yield f"salt: {day.sealed.salt}"
    yield f"to compare the hash, run: {day.sealed.command}"


def background_text(background: BackgroundRecord) -> str:
    """Return the background load of one run of a day in one line, with its failure if it failed."""
    load = background.load
    place = f" in namespace {background.namespace}" if background.namespace else ""
    text = f"{load.target}{place}, {load.profile}: {load.offered:,} due, {load.achieved:,} sent, {load.failed:,} failed"
    return f"{text}; not generated as declared: {background.failure}" if background.failure else text


def day_lines(day: GameDayRecord) -> Iterator[str]:
    """Yield all lines of a day: the responses, the background load and the sealed plan."""
    yield from response_lines(day)
    yield from (f"background load: {background_text(each)}" for each in day.background)
    yield from sealed_lines(day)

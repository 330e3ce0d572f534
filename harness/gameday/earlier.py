"""What earlier runs of an interrupted game day recorded, for the record of the run that continues it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.common.errors import InputError
from harness.gameday.day import Day
from harness.results.game_day_record import GameDayRecord
from harness.results.reporting.store import load


def carried(day: Day, runs: Sequence[str]) -> GameDayRecord | None:
    """Return the record of the last of ``runs`` before this one; None if there is none, for example after a kill."""
    for run in reversed([each for each in runs if each != day.folder.name]):
        try:
            found = load(day.folder.parent / run).game_day
        except InputError:
            continue
        if found is not None:
            return found
    return None

"""Collects the outages of a game day, and how each was detected, mitigated and recovered, for its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

from harness.common.errors import ApiError, HarnessError
from harness.gameday.alerts import AlertTimes, alert_times
from harness.gameday.day import Day, Turn
from harness.gameday.earlier import carried
from harness.gameday.marks import Mark, entered
from harness.gameday.response import Outage, Response, outage_of, response_to
from harness.gameday.rule import GO, Answer, DayRule
from harness.prometheus.client import Prometheus
from harness.results.game_day_record import GameDayRecord
from harness.results.record import ExperimentRecord
from harness.results.reporting.response_text import response_lines

# Seconds after an injection in which its alerts are read: a longer time would be read less exactly.
_ALERTS_WITHIN = 3600.0


class ResponseTimes(DayRule):
    """Adds the responses to the day's record at its end, so that marks may be entered until then."""

    name: ClassVar[str] = "response"

    def __init__(self, response: Response) -> None:
        self._response = response
        self._outages: list[Outage] = []

    def after_experiment(self, day: Day, turn: Turn, record: ExperimentRecord | None) -> Answer:
        outage = outage_of(record, turn.title, day.clock.wall()) if record else None
        if outage:
            self._outages.append(outage)
        return GO

    def after_day(self, day: Day, record: GameDayRecord) -> None:
        if earlier := carried(day, record.runs):
            record.responses += earlier.responses
        if not self._outages:
            return
        now = day.clock.wall()
        ends = [later.injected for _, later in pairwise(self._outages)] + [now]
        outages = [replace(each, until=end) for each, end in zip(self._outages, ends, strict=True)]
        marks, unread, prometheus = self._read(day, now)
        expected = self._response.alerts
        for outage in outages:
            found = response_to(outage, marks, _alerts(prometheus, expected, outage), expected, unread)
            record.responses.append(found)
        for line in response_lines(record):
            day.progress(line)

    def _read(self, day: Day, now: float) -> tuple[list[Mark], str, Prometheus | None]:
        """Return the marks, or why they could not be read, and the Prometheus."""
        try:
            run = day.connect()
        except HarnessError as error:
            return [], str(error), None
        try:
            # Also those from before the first injection: they do not count, and the reason says so.
            return entered(run.cluster.api, day.started, now), "", run.prometheus
        except ApiError as error:
            return [], str(error), run.prometheus


def _alerts(prometheus: Prometheus | None, names: Sequence[str], outage: Outage) -> list[AlertTimes]:
    if prometheus is None:
        return []
    until = min(outage.until, outage.injected + _ALERTS_WITHIN)
    return [alert_times(prometheus, name, outage.injected, until) for name in names]

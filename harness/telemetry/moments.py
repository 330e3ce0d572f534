"""When and what happened in a run, from its record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from harness.results.record import ExperimentRecord, RunRecord


def seconds(time: str) -> float | None:
    """Return a time of day of a record in Unix seconds; None if it is empty."""
    return datetime.fromisoformat(time).timestamp() if time else None


def wall(record: ExperimentRecord, at: float) -> float:
    """Return a time on the timeline of an experiment in Unix seconds."""
    return (seconds(record.origin or record.started) or 0.0) + at


def attempts(run: RunRecord) -> Iterator[ExperimentRecord]:
    """Yield every execution of every experiment: the attempts of a series in place of the series."""
    for record in run.experiments:
        yield from record.attempts or [record]

"""Gaps in a watch: times when changes may have been missed (``harness.probes.observers`` records them)."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.timeline import Observation, Timeline


def states_lost(timeline: Timeline, series: str, since: float) -> bool:
    """Return whether a watch may have missed states after ``since``: a gap is still open, or ended with missing states.

    If all events of a gap were delivered afterwards, only their times are unknown (see ``harness.probes.observers``).
    """
    errors = [seen for seen in timeline.observations(series) if seen.error is not None]
    hidden = any(_ended(seen) and not seen.value.get("complete") for seen in errors if seen.at >= since)
    return hidden or watch_open_ended(timeline, series)


def watch_open_ended(timeline: Timeline, series: str) -> bool:
    """Return whether a gap was still open at the end of the run. Several watches may write to one series."""
    errors = [seen for seen in timeline.observations(series) if seen.error is not None]
    ended = sum(_ended(seen) for seen in errors)
    # Every gap adds two errors, one for its start and one for its end.
    return len(errors) - ended > ended


def _ended(seen: Observation) -> bool:
    return isinstance(seen.value, Mapping) and seen.value.get("gap") == "ended"

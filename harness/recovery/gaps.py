"""Gaps in a watch: what may have happened unseen (see ``harness.observers`` for how they are written)."""

from __future__ import annotations

from collections.abc import Mapping

from harness.observation import Observation, Timeline


def states_lost(timeline: Timeline, series: str, since: float) -> bool:
    """Whether a watch may have missed states after ``since``: a gap that is still open, or that hid some for good.

    A gap through which every event arrived in the end hides times, not states (see ``harness.observers``).
    """
    errors = [seen for seen in timeline.observations(series) if seen.error is not None]
    hidden = any(_ended(seen) and not seen.value.get("complete") for seen in errors if seen.at >= since)
    return hidden or watch_open_ended(timeline, series)


def watch_open_ended(timeline: Timeline, series: str) -> bool:
    """Whether a gap was still open when the run ended. Counted, since several watches may write to one series."""
    errors = [seen for seen in timeline.observations(series) if seen.error is not None]
    ended = sum(_ended(seen) for seen in errors)
    return len(errors) - ended > ended


def _ended(seen: Observation) -> bool:
    return isinstance(seen.value, Mapping) and seen.value.get("gap") == "ended"

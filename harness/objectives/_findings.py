"""Construction of findings, and the combination of several findings of one objective into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.timeline import Interval
from harness.model.verdict import Verdict, worst


def inconclusive(reason: str) -> Finding:
    """Return an INCONCLUSIVE finding without an observation."""
    return Finding(verdict=Verdict.INCONCLUSIVE, reason=reason)


def combined(parts: Sequence[Finding]) -> Finding:
    """Combine findings: the worst verdict, the numbers of the first part with it, the reasons of all parts with it."""
    verdict = worst(part.verdict for part in parts)
    decisive = [part for part in parts if part.verdict is verdict]
    detail = {key: value for part in parts for key, value in part.detail.items()}
    return replace(decisive[0], reason="; ".join(part.reason for part in decisive), detail=detail)


def within(what: str, length: Interval, limit: float, since: str) -> Finding:
    """Judge how long something took: ``<what> 2.10 s to 3.05 s after <since>, at most 20 s was allowed``.

    HELD if it certainly took no longer than the limit (seconds), BROKEN if it certainly took longer.
    """
    verdict = Verdict.HELD if length.high <= limit else Verdict.BROKEN if length.low > limit else Verdict.INCONCLUSIVE
    took = show_length(length)
    reason = f"{what} {took} after {since}, at most {show_seconds(limit)} was allowed"
    return Finding.bounded(
        verdict,
        reason,
        length.high,
        low=length.low,
        high=length.high,
        limit=limit,
        unit="s",
        comparison="<=",
    )


def never(what: str, watched: float, limit: float, since: str) -> Finding:
    """Judge something that did not happen in ``watched`` seconds: BROKEN if that is longer than the limit."""
    # Observed for less than the limit, it may still have happened in time.
    verdict = Verdict.BROKEN if watched > limit else Verdict.INCONCLUSIVE
    reason = f"{what}: not observed in the {show_seconds(max(0.0, watched))} after {since}, "
    reason += f"at most {show_seconds(limit)} was allowed"
    return Finding.bounded(verdict, reason, watched, low=watched, high=None, limit=limit, unit="s", comparison="<=")


def show_length(length: Interval) -> str:
    """Format bounds in seconds; one number if both have the same text."""
    low, high = show_seconds(length.low), show_seconds(length.high)
    return low if low == high else f"{low} to {high}"

"""Findings put together: several demands of one objective become one finding, of which the worst part speaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.objective import Finding
from harness.observation import Interval
from harness.quantities import show_seconds
from harness.verdict import Verdict, worst


def inconclusive(reason: str, **numbers: float | None) -> Finding:
    """A finding that says nothing, and why."""
    return Finding(Verdict.INCONCLUSIVE, reason, **numbers)  # type: ignore[arg-type]


def combined(parts: Sequence[Finding]) -> Finding:
    """One finding of many: the worst verdict, the numbers of the first part that has it, and the sentences of all the
    parts that share it."""
    verdict = worst(part.verdict for part in parts)
    speaking = [part for part in parts if part.verdict is verdict]
    detail = {key: value for part in parts for key, value in part.detail.items()}
    return replace(speaking[0], reason="; ".join(part.reason for part in speaking), detail=detail)


def within(what: str, length: Interval, limit: float, since: str) -> Finding:
    """Judge how long something took: ``<what> 2.10 s to 3.05 s after <since>, … at most 20 s``.

    HELD when it took no longer than the limit for certain, BROKEN when it certainly took longer.
    """
    verdict = Verdict.HELD if length.high <= limit else Verdict.BROKEN if length.low > limit else Verdict.INCONCLUSIVE
    took = show_length(length)
    reason = f"{what} {took} after {since}, at most {show_seconds(limit)} was allowed"
    return Finding(verdict, reason, length.high, length.low, length.high, limit, "s", "<=")


def never(what: str, watched: float, limit: float, since: str) -> Finding:
    """Judge what was not seen to happen: BROKEN once it was watched for longer than the limit."""
    verdict = Verdict.BROKEN if watched > limit else Verdict.INCONCLUSIVE
    reason = f"{what} not in the {show_seconds(max(0.0, watched))} that it was watched after {since}, "
    reason += f"at most {show_seconds(limit)} was allowed"
    return Finding(verdict, reason, watched, watched, None, limit, "s", "<=")


def show_length(length: Interval) -> str:
    """Bounds for people; one number where they read the same."""
    low, high = show_seconds(length.low), show_seconds(length.high)
    return low if low == high else f"{low} to {high}"

"""Comparison of a reported number with a limit. An unknown number is never HELD, and BROKEN only if that is certain."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.reported import Reported, Unknown
from harness.model.verdict import Verdict, worst
from harness.objectives._findings import inconclusive
from harness.objectives._series import CountSample

# Appended to the reason of a finding that would be HELD.
MISSED_STATES = "but the watch was interrupted, so some states may have been missed"


def verdict_on(number: Reported, comparison: str, limit: int) -> Verdict:
    """Return HELD if the number meets the limit (``>=``, ``<=`` or ``==``), BROKEN if not, INCONCLUSIVE if unknown."""
    if isinstance(number, int):
        holds = number >= limit if comparison == ">=" else number <= limit if comparison == "<=" else number == limit
        return Verdict.HELD if holds else Verdict.BROKEN
    if number.counted is None:
        return Verdict.INCONCLUSIVE
    if comparison == ">=":
        # With a limit of 0 every number would be enough, which shows nothing about an object that was deleted.
        enough = Verdict.HELD if limit > 0 else Verdict.INCONCLUSIVE
        return enough if number.counted >= limit else Verdict.BROKEN
    # More may exist than were counted, so an upper limit can be shown to be violated, but never to be met.
    return Verdict.BROKEN if number.counted > limit else Verdict.INCONCLUSIVE


def bound(
    of: str,
    counts: Sequence[CountSample],
    comparison: str,
    limit: int,
    *,
    sentence: str,
    requirement: str,
    states_lost: bool,
) -> Finding:
    """Judge that a number of replicas met a limit at every moment.

    ``sentence`` is the reason with two places ``{}``, for the number and the time; ``requirement`` describes the limit;
    ``states_lost`` is whether a watch may have missed states.
    """
    verdict, count = _decisive(counts, comparison, limit)
    if verdict is Verdict.INCONCLUSIVE:
        return inconclusive(f"the number of replicas of {of} is unknown at {when(count.at)}{why(count)}; {requirement}")
    number = at_least(count.number) or 0
    reason = f"{sentence.format(number, when(count.at))}, {requirement}"
    if verdict is Verdict.BROKEN:
        reason += why(count)
    elif states_lost:
        verdict, reason = Verdict.INCONCLUSIVE, f"{reason}, {MISSED_STATES}"
    return Finding.exact(verdict, reason, number, limit=limit, unit="replicas", comparison=comparison)


def _decisive(counts: Sequence[CountSample], comparison: str, limit: int) -> tuple[Verdict, CountSample]:
    """Return the verdict on several counts (at least one), and the count that decides it.

    That is the one furthest beyond the limit, else the first unknown one, else the closest to the limit. ``comparison``
    is ``>=`` or ``<=``.
    """
    verdicts = [verdict_on(count.number, comparison, limit) for count in counts]
    verdict = worst(verdicts)
    decisive = [count for count, found in zip(counts, verdicts, strict=True) if found is verdict]
    if verdict is Verdict.INCONCLUSIVE:
        return verdict, decisive[0]
    return verdict, (min if comparison == ">=" else max)(decisive, key=lambda count: at_least(count.number) or 0)


def at_least(number: Reported) -> int | None:
    """Return the number that is certain; None if nothing is known."""
    return number.counted if isinstance(number, Unknown) else number


def is_below(number: Reported, limit: int) -> bool:
    """Return whether a number is certainly below a limit."""
    return verdict_on(number, ">=", limit) is Verdict.BROKEN


def why(count: CountSample) -> str:
    """Return an explanation of a missing or unknown count, to be appended to a reason; may be empty."""
    if isinstance(count.number, Unknown):
        return f": {count.number.reason}"
    return f"; {count.status.trouble}" if count.status and count.status.trouble else ""


def when(at: float) -> str:
    """Format an instant on the timeline."""
    return show_seconds(max(0.0, at))

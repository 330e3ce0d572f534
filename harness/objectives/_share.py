"""A share of requests held against a minimum: what availability and latency have in common.

After a fault the verdict comes from exact bounds: HELD when the share is at least the minimum with the confidence asked
for, BROKEN when it is below it with the same confidence. In the steady state, asked for by ``phases=["baseline"]``,
the point estimate decides: a baseline of ten seconds never holds the thousands of requests that a bound needs, and its
purpose is only not to break what is broken already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.objective import Finding
from harness.objectives._findings import inconclusive
from harness.observation import BASELINE, LoadSummary, Timeline
from harness.statistics import ShareBounds, clopper_pearson, samples_needed
from harness.verdict import Verdict

LEAST_ACHIEVED = 0.99


@dataclass(frozen=True, slots=True)
class RequiredShare:
    """At least ``minimum`` of all, with ``confidence``; ``noun`` says of what, as in ``requests succeeded``."""

    minimum: float
    confidence: float
    noun: str

    def judge(self, timeline: Timeline, good: int, total: int, detail: dict[str, str]) -> Finding:
        """Judge ``good`` of ``total`` (not 0) requests of a run.

        Arrivals that were due and never sent are unknown: more than one in a hundred of them leave nothing to
        conclude, unless the share would be too low even if all of them had been good.
        """
        unusable = _unusable(timeline.load)
        if unusable or timeline.load is None:
            return inconclusive(unusable)
        # The summary does not tell when arrivals were dropped, so all of them count against the phases judged.
        missing = max(0, timeline.load.offered - timeline.load.achieved)
        seen = f"{good} of {total} {self.noun} ({show_share(good / total)})"
        if missing > (1 - LEAST_ACHIEVED) * (total + missing):
            best = clopper_pearson(good + missing, total + missing, self.confidence)
            if best.high >= self.minimum:
                return inconclusive(f"{seen}, but {missing} more were due and never sent")
            detail = detail | {"never sent": f"{missing}, too few to change the verdict had all been good"}
        bounds = clopper_pearson(good, total, self.confidence)
        verdict, reason = self._by_bounds(bounds)
        if verdict is Verdict.INCONCLUSIVE:
            needed = samples_needed(self.minimum, self.confidence, total - good)
            reason += f"; {needed} with no further failure would show that it holds"
        return self._finding(verdict, f"{seen}: {reason}", good, total, detail)

    def judge_steady(self, good: int, total: int, detail: dict[str, str]) -> Finding:
        """Judge the steady state by the point estimate. The load's summary is not there yet."""
        verdict = Verdict.HELD if good / total >= self.minimum else Verdict.BROKEN
        reason = f"{good} of {total} {self.noun} ({show_share(good / total)}), {show_share(self.minimum)} asked for"
        return self._finding(verdict, reason, good, total, detail)

    def _by_bounds(self, bounds: ShareBounds) -> tuple[Verdict, str]:
        confidence, asked = show_share(self.confidence), show_share(self.minimum)
        if bounds.low >= self.minimum:
            return Verdict.HELD, f"at least {show_share(bounds.low)} with {confidence} confidence, {asked} asked for"
        if bounds.high < self.minimum:
            return Verdict.BROKEN, f"at most {show_share(bounds.high)} with {confidence} confidence, {asked} asked for"
        between = f"between {show_share(bounds.low)} and {show_share(bounds.high)} with {confidence} confidence"
        return Verdict.INCONCLUSIVE, f"{between}, too few to tell whether it is {asked}"

    def _finding(self, verdict: Verdict, reason: str, good: int, total: int, detail: dict[str, str]) -> Finding:
        bounds = clopper_pearson(good, total, self.confidence)
        return Finding(
            verdict=verdict,
            reason=reason,
            observed=good / total * 100,
            low=bounds.low * 100,
            high=bounds.high * 100,
            limit=self.minimum * 100,
            unit="%",
            comparison=">=",
            samples=total,
            detail=detail,
        )


def steady_state(phases: Sequence[str] | None) -> bool:
    """Whether the steady state is asked about rather than the run."""
    return phases is not None and tuple(phases) == (BASELINE,)


def show_share(share: float) -> str:
    """A share for people, never rounded up to 100% or down to 0%."""
    text = f"{share * 100:.3f}".rstrip("0").rstrip(".")
    if text == "100" and share < 1:
        return "99.999%"
    if text == "0" and share > 0:
        return "0.001%"
    return f"{text}%"


def _unusable(load: LoadSummary | None) -> str:
    if load is None:
        return "the load generator left no summary of what it sent"
    if load.error:
        return f"the load generator failed: {load.error}"
    if load.saturated:
        return "the load generator was saturated: it measured itself, not the service"
    return ""

"""A share of requests held against a limit: what availability, error rate and latency have in common.

After a fault the verdict comes from exact bounds: HELD when the share is on the good side of the limit with the
confidence asked for, BROKEN when it is beyond it with the same confidence. In the steady state, asked for by
``phases=["baseline"]``, the point estimate decides: a baseline of ten seconds never holds the thousands of requests
that a bound needs, and its purpose is only not to break what is broken already.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field

from harness.objective import Breaches, Due, Finding, LiveObjective
from harness.objectives._fields import DISRUPTED, Phases, ProperShare
from harness.objectives._findings import inconclusive
from harness.observation import BASELINE, LoadSummary, RequestSeen, Timeline
from harness.statistics import ShareBounds, binomial_tail, clopper_pearson, samples_needed, shared_confidence
from harness.verdict import Verdict

LEAST_ACHIEVED = 0.99


class ShareObjective(LiveObjective):
    """What the objectives about shares of requests have in common: where they count, how sure, and on how many."""

    phases: Phases = DISRUPTED
    confidence: ProperShare = Field(0.95, description="of the bounds that decide; shared among objectives")
    min_samples: Annotated[int, Field(ge=1)] = Field(1, description="the fewest requests that the verdict may rest on")

    @property
    def checks_baseline(self) -> bool:
        return True

    @property
    def checks_control(self) -> bool:
        return True

    @property
    def claims(self) -> int:
        return 1

    def among(self, claims: int) -> Self:
        return self.model_copy(update={"confidence": shared_confidence(self.confidence, claims)})

    @property
    @abstractmethod
    def demand(self) -> ShareDemand:
        """The limit that the share is held against."""

    @abstractmethod
    def spoils(self, request: RequestSeen) -> bool | None:
        """Whether a request counts against the objective for certain; None: it does not count at all."""

    def breaches(self) -> Breaches:
        return _SpentBudget(self)

    def breached(self, timeline: Timeline, due: Due) -> str:
        return self.breaches()(timeline, due)


@dataclass(frozen=True, slots=True)
class ShareDemand:
    """``hits`` are ``at least`` (or ``at most``) ``limit`` of all, with ``confidence``; ``noun`` says what a hit is, as
    in ``requests succeeded``. Nothing is concluded from fewer than ``least_samples``."""

    side: Literal["at least", "at most"]
    limit: float
    confidence: float
    noun: str
    least_samples: int = 1

    def judge(self, timeline: Timeline, hits: int, total: int, detail: dict[str, str]) -> Finding:
        """Judge ``hits`` of ``total`` (not 0) requests of a run.

        Arrivals that were due and never sent are unknown: more than one in a hundred of them leave nothing to
        conclude, unless the share would be beyond the limit even if all of them had been good. Fewer break nothing,
        but are dropped when it hurts: it holds only if it did so had all of them been bad.
        """
        unusable = _unusable(timeline.load)
        if unusable or timeline.load is None:
            return inconclusive(unusable)
        # The summary does not tell when arrivals were dropped, so all of them count against the phases judged.
        missing = max(0, timeline.load.offered - timeline.load.achieved)
        seen = f"{hits} of {total} {self.noun} ({show_share(hits / total)})"
        if total < self.least_samples:
            return inconclusive(f"{seen}: fewer than the {self.least_samples} requests asked for")
        if missing > (1 - LEAST_ACHIEVED) * (total + missing):
            if not self.broken_at_best(self._bad(hits, total), total + missing):
                return inconclusive(f"{seen}, but {missing} more were due and never sent")
            detail = detail | {"never sent": f"{missing}, too few to change the verdict had all been good"}
        verdict, reason = self._by_bounds(clopper_pearson(hits, total, self.confidence))
        if verdict is Verdict.HELD and missing:
            if not self._holds_at_worst(hits, total, missing):
                spoilt = (
                    f"but {missing} more were due and never sent, and had they been bad it would not be shown to hold"
                )
                return self._finding(Verdict.INCONCLUSIVE, f"{seen}: {reason}, {spoilt}", hits, total, detail)
            detail = detail | {"never sent": f"{missing}, too few to change the verdict had all been bad"}
        if verdict is Verdict.INCONCLUSIVE:
            needed = samples_needed(self._least_good, self.confidence, self._bad(hits, total))
            reason += f"; {needed} with no further failure would show that it holds"
        return self._finding(verdict, f"{seen}: {reason}", hits, total, detail)

    def judge_steady(self, hits: int, total: int, detail: dict[str, str]) -> Finding:
        """Judge the steady state by the point estimate. The load's summary is not there yet."""
        share = hits / total
        holds = share >= self.limit if self.side == "at least" else share <= self.limit
        reason = f"{hits} of {total} {self.noun} ({show_share(share)}), {self._asked}"
        return self._finding(Verdict.HELD if holds else Verdict.BROKEN, reason, hits, total, detail)

    def broken_at_best(self, bad: int, total: int) -> bool:
        """Whether so many bad ones of ``total`` break the limit for certain.

        The same as "the Clopper–Pearson bound lies beyond the limit", without a search for the bound itself.
        """
        return bad > 0 and binomial_tail(bad, total, 1 - self._least_good) < 1 - self.confidence

    @property
    def _least_good(self) -> float:
        return self.limit if self.side == "at least" else 1 - self.limit

    @property
    def _asked(self) -> str:
        return f"{show_share(self.limit)} asked for" if self.side == "at least" else f"{show_share(self.limit)} allowed"

    def _bad(self, hits: int, total: int) -> int:
        return total - hits if self.side == "at least" else hits

    def _holds_at_worst(self, hits: int, total: int, missing: int) -> bool:
        worst = hits if self.side == "at least" else hits + missing
        return self._by_bounds(clopper_pearson(worst, total + missing, self.confidence))[0] is Verdict.HELD

    def _by_bounds(self, bounds: ShareBounds) -> tuple[Verdict, str]:
        sure = f"with {show_share(self.confidence)} confidence"
        above, below = bounds.low >= self.limit, bounds.high < self.limit
        if self.side == "at most":
            above, below = bounds.low > self.limit, bounds.high <= self.limit
        if above:
            verdict = Verdict.HELD if self.side == "at least" else Verdict.BROKEN
            return verdict, f"at least {show_share(bounds.low)} {sure}, {self._asked}"
        if below:
            verdict = Verdict.BROKEN if self.side == "at least" else Verdict.HELD
            return verdict, f"at most {show_share(bounds.high)} {sure}, {self._asked}"
        between = f"between {show_share(bounds.low)} and {show_share(bounds.high)} {sure}"
        return Verdict.INCONCLUSIVE, f"{between}, too few to tell whether it is {self.side} {show_share(self.limit)}"

    def _finding(self, verdict: Verdict, reason: str, hits: int, total: int, detail: dict[str, str]) -> Finding:
        bounds = clopper_pearson(hits, total, self.confidence)
        return Finding(
            verdict=verdict,
            reason=reason,
            observed=hits / total * 100,
            low=bounds.low * 100,
            high=bounds.high * 100,
            limit=self.limit * 100,
            unit="%",
            comparison=">=" if self.side == "at least" else "<=",
            samples=total,
            detail=detail,
            good=total - self._bad(hits, total),
        )


class _SpentBudget:
    """Says when an objective can no longer hold, even if every request still to come is good: its whole budget of bad
    ones is spent. A bound on what was seen so far would be no proof, asked again and again until it says yes.

    Reads every request once, so that it can be asked a few times a second.
    """

    def __init__(self, objective: ShareObjective) -> None:
        self._objective, self._demand = objective, objective.demand
        self._read = self._seen = self._counted = self._bad = 0

    def __call__(self, timeline: Timeline, due: Due) -> str:
        self._count(timeline.requests[self._read :], timeline)
        self._read = len(timeline.requests)
        to_come = max(0, sum(due.get(phase, 0) for phase in self._objective.phases) - self._seen)
        if not self._demand.broken_at_best(self._bad, self._counted + to_come):
            return ""
        spent = f"{self._bad} of {self._counted} requests so far count against it"
        return f"{spent}, and even {to_come} good ones still to come could not make up for them"

    def _count(self, requests: Iterable[RequestSeen], timeline: Timeline) -> None:
        phases = timeline.window(self._objective.phases)
        for request in requests:
            if any(phase.covers(request.intended) for phase in phases):
                spoilt = self._objective.spoils(request)
                self._seen += 1
                self._counted += spoilt is not None
                self._bad += spoilt is True


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

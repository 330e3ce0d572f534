"""The common part of availability, error rate and latency: the comparison of a share of requests with a limit.

After a fault the verdict comes from exact bounds: HELD if the share meets the limit with the requested confidence,
BROKEN if it violates it with the same confidence. In the steady state (``phases=["baseline"]``) the point estimate
decides: a baseline of ten seconds never has the thousands of requests that a bound needs, and it only has to ensure
that no fault is injected into a system that is already broken.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field

from harness.model.closed_model import with_unsent
from harness.model.finding import Finding
from harness.model.phase_names import BASELINE
from harness.model.request_store import Bools, Floats
from harness.model.requests import Requests
from harness.model.timeline import LoadSummary, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import DISRUPTED, LoadName, Phases, ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives.base import Breaches, Due, LiveObjective
from harness.objectives.recovery import GOOD_IN_A_ROW
from harness.stats.bounds import ShareBounds, binomial_tail, clopper_pearson, samples_needed, shared_confidence

# With more requests missing, the load was not the declared one. The load generator counts as saturated at the same 1 %.
LEAST_ACHIEVED = 0.99
CLOSED = "closed model"


class ShareObjective(LiveObjective):
    """Base of the objectives about shares of requests: their phases, confidence and number of samples."""

    phases: Phases = Field(DISRUPTED, description="the phases whose requests are evaluated")
    confidence: ProperShare = Field(
        default=0.95,
        description="the confidence of the verdict; divided among the objectives of an experiment (Bonferroni)",
    )
    min_samples: Annotated[int, Field(ge=1)] = Field(
        default=1, description="with fewer requests than this the objective is INCONCLUSIVE"
    )
    load: LoadName = ""

    @property
    def of_load(self) -> str:
        """The load that is judged, as the end of a title; empty for all."""
        return f" (load {self.load})" if self.load else ""

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
        """The limit for the share."""

    @abstractmethod
    def counts_against(self, requests: Requests, took: Floats) -> Bools:
        """Return for each request whether it certainly counts against the objective, if it is evaluated.

        ``took`` are the seconds from its actual start: with more of them no request counts less."""

    def evaluated(self, requests: Requests) -> Bools:
        """Return for each request whether it is evaluated at all."""
        return np.ones(len(requests), np.bool_)

    def breaches(self) -> Breaches:
        return _SpentBudget(self)

    def breached(self, timeline: Timeline, due: Due) -> str:
        return self.breaches()(timeline, due)


@dataclass(frozen=True, slots=True)
class ShareDemand:
    """A limit for the share of hits among all requests.

    The share must be ``at least`` or ``at most`` (``side``) ``limit``, with ``confidence``. ``noun`` describes a hit,
    such as ``requests succeeded``. With fewer than ``least_samples`` requests the finding is INCONCLUSIVE.
    """

    side: Literal["at least", "at most"]
    limit: float
    confidence: float
    noun: str
    least_samples: int = 1

    def judge(self, timeline: Timeline, hits: int, total: int, detail: dict[str, str]) -> Finding:
        """Judge ``hits`` of ``total`` (more than 0) requests of a run.

        The outcome of arrivals that were due but never sent is unknown. With more than 1 % of them the finding is
        INCONCLUSIVE, unless the limit would be violated even if all of them had been good. Fewer cannot make it BROKEN,
        but arrivals are dropped just when the service is slow, so HELD requires that it holds even if all were bad.
        """
        unusable = _unusable(timeline.load)
        if unusable or timeline.load is None:
            return inconclusive(unusable)
        # The summary does not have the times of dropped arrivals, so all of them are attributed to the judged phases.
        missing = max(0, timeline.load.offered - timeline.load.achieved)
        lost = (
            "were sent and had no answer by the end" if timeline.load.model == "closed" else "were due and never sent"
        )
        seen = f"{hits} of {total} {self.noun} ({show_share(hits / total)})"
        if total < self.least_samples:
            return inconclusive(f"{seen}: fewer than the required {self.least_samples} requests")
        # Checked before the bounds: with many missing requests only a violation can be certain.
        if missing > (1 - LEAST_ACHIEVED) * (total + missing):
            if not self.broken_at_best(self._bad(hits, total), total + missing):
                return inconclusive(f"{seen}, but {missing} more {lost}")
            detail = detail | {"never sent": f"{missing}, the verdict would be the same if all of them had been good"}
        verdict, reason = self._by_bounds(clopper_pearson(hits, total, self.confidence))
        if verdict is Verdict.HELD and missing:
            if not self._holds_at_worst(hits, total, missing):
                unsent = f"but {missing} more {lost}; if all of them were bad it might not hold"
                return self._finding(Verdict.INCONCLUSIVE, f"{seen}: {reason}, {unsent}", hits, total, detail)
            detail = detail | {"never sent": f"{missing}, the verdict would be the same if all of them had been bad"}
        if verdict is Verdict.INCONCLUSIVE:
            needed = self.samples_needed(self._bad(hits, total))
            reason += f"; {needed} requests without a further failure would show that it holds"
        return self._finding(verdict, f"{seen}: {reason}", hits, total, detail)

    def judge_steady(self, hits: int, total: int, detail: dict[str, str]) -> Finding:
        """Judge the steady state by the point estimate. The load is still running, so it has no summary yet."""
        share = hits / total
        holds = share >= self.limit if self.side == "at least" else share <= self.limit
        reason = f"{hits} of {total} {self.noun} ({show_share(share)}), {self._requirement}"
        return self._finding(Verdict.HELD if holds else Verdict.BROKEN, reason, hits, total, detail)

    def broken_at_best(self, bad: int, total: int) -> bool:
        """Return whether ``bad`` of ``total`` requests violate the limit with the requested confidence.

        Equivalent to comparing the Clopper–Pearson bound with the limit, but without the search for the bound.
        """
        return bad > 0 and binomial_tail(bad, total, 1 - self._least_good) < 1 - self.confidence

    def samples_needed(self, bad: int = 0) -> int:
        """Return the fewest requests that show that the limit is met, although ``bad`` of them count against it."""
        return samples_needed(self._least_good, self.confidence, bad)

    @property
    def _least_good(self) -> float:
        return self.limit if self.side == "at least" else 1 - self.limit

    @property
    def _requirement(self) -> str:
        return f"{show_share(self.limit)} required" if self.side == "at least" else f"{show_share(self.limit)} allowed"

    def _bad(self, hits: int, total: int) -> int:
        return total - hits if self.side == "at least" else hits

    def _holds_at_worst(self, hits: int, total: int, missing: int) -> bool:
        worst = hits if self.side == "at least" else hits + missing
        return self._by_bounds(clopper_pearson(worst, total + missing, self.confidence))[0] is Verdict.HELD

    def _by_bounds(self, bounds: ShareBounds) -> tuple[Verdict, str]:
        sure = f"with {show_share(self.confidence)} confidence"
        above, below = bounds.low >= self.limit, bounds.high < self.limit
        if self.side == "at most":
            # A share exactly at the limit is allowed, so for ``at most`` the strict comparison is on the other side.
            above, below = bounds.low > self.limit, bounds.high <= self.limit
        if above:
            verdict = Verdict.HELD if self.side == "at least" else Verdict.BROKEN
            return verdict, f"at least {show_share(bounds.low)} {sure}, {self._requirement}"
        if below:
            verdict = Verdict.BROKEN if self.side == "at least" else Verdict.HELD
            return verdict, f"at most {show_share(bounds.high)} {sure}, {self._requirement}"
        between = f"between {show_share(bounds.low)} and {show_share(bounds.high)} {sure}"
        limit = f"{self.side} {show_share(self.limit)}"
        return Verdict.INCONCLUSIVE, f"{between}, too few requests to decide whether it is {limit}"

    def _finding(self, verdict: Verdict, reason: str, hits: int, total: int, detail: dict[str, str]) -> Finding:
        bounds = clopper_pearson(hits, total, self.confidence)
        return Finding.bounded(
            verdict,
            reason,
            hits / total * 100,
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
    """The check whether an objective can no longer hold: its budget of bad requests is spent.

    It assumes that all requests still to come are good. A confidence bound on the requests so far would not be proof:
    if it is evaluated repeatedly, it eventually fails by chance. Every request is read only once, so that the check can
    run a few times a second.
    """

    def __init__(self, objective: ShareObjective) -> None:
        self._objective, self._demand = objective, objective.demand
        self._read = self._seen = self._counted = self._bad = 0

    def __call__(self, timeline: Timeline, due: Due) -> str:
        phases = timeline.window(self._objective.phases)
        unread = timeline.requests_of(self._objective.load, timeline.requests[self._read :])
        new = unread.due_in((phase.start, phase.end) for phase in phases)
        self._read = len(timeline.requests)
        counted = self._objective.evaluated(new)
        # ``due`` also has the arrivals whose requests turn out not to be evaluated: these must be subtracted as well.
        self._seen += len(new)
        self._counted += int(np.count_nonzero(counted))
        self._bad += int(np.count_nonzero(counted & self._objective.counts_against(new, new.took)))
        to_come = max(0, sum(due.get(phase, 0) for phase in self._objective.phases) - self._seen)
        if not self._demand.broken_at_best(self._bad, self._counted + to_come):
            return ""
        spent = f"{self._bad} of {self._counted} requests so far count against it"
        return f"{spent}, and even if all {to_come} remaining requests were good it would not hold"


def over_when_seen_last(
    finding: Finding, objective: ShareObjective, timeline: Timeline, phases: Sequence[str]
) -> Finding:
    """Return the finding, as INCONCLUSIVE if it is HELD but requests were still failing at the end of the run.

    More requests would have failed in an outage that is not over, so the share observed so far does not bound its cost.
    """
    if finding.verdict is not Verdict.HELD or not timeline.phases or timeline.phases[-1].name not in phases:
        return finding
    # In the order of sending, as the user clock counts a recovery: timeouts of an outage end after later good requests.
    due = timeline.requests_in(phases)
    last = due.take(np.argsort(due.started, kind="stable")[-GOOD_IN_A_ROW:])
    against = objective.evaluated(last) & objective.counts_against(last, last.took)
    if len(last) < GOOD_IN_A_ROW or not against.all():
        return finding
    reason = f"{finding.reason}, but the last {len(last)} requests all failed: the outage was not over at the end"
    return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason)


def doubted_if_closed(
    finding: Finding, objective: ShareObjective, timeline: Timeline, phases: Sequence[str]
) -> Finding:
    """Return the finding, as INCONCLUSIVE if it is HELD only because users that waited sent fewer requests."""
    found = with_unsent(timeline, phases, objective.evaluated, objective.counts_against)
    if found is None or not finding.samples:
        return finding
    bad, total = found
    unsent = total - finding.samples
    detail = finding.detail | {
        CLOSED: f"{unsent} more requests were due at the pace of the baseline, while users waited"
    }
    finding = replace(finding, detail=detail)
    if finding.verdict is not Verdict.HELD or not unsent:
        return finding
    demand = objective.demand
    hits = total - bad if demand.side == "at least" else bad
    if demand.judge(timeline, hits, total, {}).verdict is Verdict.HELD:
        return finding
    reason = (
        f"{finding.reason}, but users that waited sent nothing: with the {unsent} requests that were due meanwhile at"
        f" the pace of the baseline, {show_share(hits / total)} of {total} {demand.noun}; use a load with rate"
    )
    return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason)


def steady_state(phases: Sequence[str] | None) -> bool:
    """Return whether the steady state is judged instead of the run."""
    return phases is not None and tuple(phases) == (BASELINE,)


def show_share(share: float) -> str:
    """Format a share as a percentage, never rounded up to 100% or down to 0%."""
    text = f"{share * 100:.3f}".rstrip("0").rstrip(".")
    if text == "100" and share < 1:
        return "99.999%"
    if text == "0" and share > 0:
        return "0.001%"
    return f"{text}%"


def _unusable(load: LoadSummary | None) -> str:
    if load is None:
        return "the load generator left no summary"
    if load.error:
        return f"the load generator failed: {load.error}"
    if load.saturated:
        return "the load generator was saturated: it measured its own limits, not the service"
    return ""

"""Latency: the share of successful requests that were answered in time, counted from their intended start.

A share below a threshold, not a quantile against a limit: the two ask the same, but only the share has exact bounds,
and no quantile has to be interpolated. Failed requests are availability's business: a refused one is fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from harness.objective import Finding
from harness.objectives._fields import Limit, ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives._share import ShareDemand, ShareObjective, show_share, steady_state
from harness.observation import RequestSeen, Timeline
from harness.quantities import show_seconds
from harness.statistics import percentile
from harness.verdict import Verdict


class Latency(ShareObjective):
    """At least ``share`` of the successful requests took less than ``below``."""

    kind: ClassVar[str] = "latency"

    share: ProperShare = Field(description="share of successful requests that must be fast enough, such as 95%")
    below: Limit = Field(description="the threshold, such as 200ms, from the intended start")

    @property
    def title(self) -> str:
        return f"{show_share(self.share)} of requests below {show_seconds(self.below)}"

    @property
    def demand(self) -> ShareDemand:
        noun = f"successful requests took less than {show_seconds(self.below)}"
        return ShareDemand("at least", self.share, self.confidence, noun, self.min_samples)

    def spoils(self, request: RequestSeen) -> bool | None:
        # What the generator itself started late is not held against the service for certain.
        return request.finished - request.started >= self.below if request.ok else None

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        served = [request for request in timeline.requests_in(phases or self.phases) if request.ok]
        latencies = [request.latency for request in served]
        if not latencies:
            return inconclusive(f"no request succeeded in {', '.join(phases or self.phases)}")
        fast = sum(latency < self.below for latency in latencies)
        shares = sorted({0.5, self.share, 0.99})
        detail = {f"p{share * 100:g}": show_seconds(percentile(latencies, share)) for share in shares}
        detail["slowest"] = show_seconds(max(latencies))
        if steady_state(phases):
            return self.demand.judge_steady(fast, len(latencies), detail)
        finding = self.demand.judge(timeline, fast, len(latencies), detail)
        if finding.verdict is Verdict.HELD:
            return finding
        # From the intended start the generator's own lateness counts too; without it a broken objective may hold.
        prompt = sum(not self.spoils(request) for request in served)
        best = self.demand.judge(timeline, prompt, len(latencies), detail)
        if best.verdict is finding.verdict:
            return finding
        late = f"{prompt - fast} of them were slow only because the load generator started them late"
        return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}; {late}")

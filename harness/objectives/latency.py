"""Latency: the share of successful requests that were answered in time, measured from their intended start.

It compares the share below a threshold instead of a quantile with a limit. The two are equivalent, but the share has
exact bounds and needs no interpolation. Failed requests are covered by availability, since a refused request is fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.request_store import Bools, Floats
from harness.model.requests import Requests
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Limit, ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives._share import ShareDemand, ShareObjective, doubted_if_closed, show_share, steady_state
from harness.stats.bounds import nearest_rank


class Latency(ShareObjective):
    """At least ``share`` of the successful requests took less than ``below``."""

    kind: ClassVar[str] = "latency"
    example: ClassVar[Mapping[str, Any]] = {"share": "95%", "below": "200ms"}

    share: ProperShare = Field(description="the share of successful requests that must be fast enough, such as 95%")
    below: Limit = Field(description="the latency threshold, measured from the intended start, such as 200ms")

    @property
    def title(self) -> str:
        return f"{show_share(self.share)} of requests below {show_seconds(self.below)}{self.of_load}"

    @property
    def demand(self) -> ShareDemand:
        noun = f"successful requests took less than {show_seconds(self.below)}"
        return ShareDemand("at least", self.share, self.confidence, noun, self.min_samples)

    def evaluated(self, requests: Requests) -> Bools:
        return requests.ok

    def counts_against(self, requests: Requests, took: Floats) -> Bools:
        del requests
        # Measured from the actual start: a delay of the generator is not certainly the fault of the service.
        return took >= self.below

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        timeline = timeline.of_load(self.load)
        due = timeline.requests_in(phases or self.phases)
        served = due.where(due.ok)
        latencies = np.sort(served.latency)
        if not len(latencies):
            return inconclusive(f"no request succeeded in {', '.join(phases or self.phases)}")
        fast = int(np.count_nonzero(latencies < self.below))
        shares = sorted({0.5, self.share, 0.99})
        ranked = {share: float(latencies[nearest_rank(len(latencies), share)]) for share in shares}
        detail = {f"p{share * 100:g}": show_seconds(latency) for share, latency in ranked.items()}
        detail["slowest"] = show_seconds(float(latencies[-1]))
        if steady_state(phases):
            return self.demand.judge_steady(fast, len(latencies), detail)
        finding = self.demand.judge(timeline, fast, len(latencies), detail)
        if finding.verdict is Verdict.HELD:
            return doubted_if_closed(finding, self, timeline, phases or self.phases)
        # Latency from the intended start includes delays of the generator; without them the objective may hold.
        prompt = len(served) - int(np.count_nonzero(self.counts_against(served, served.took)))
        best = self.demand.judge(timeline, prompt, len(latencies), detail)
        if best.verdict is finding.verdict:
            return finding
        late = f"{prompt - fast} requests were slow only because the load generator started them late"
        return replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}; {late}")

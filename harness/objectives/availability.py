"""Availability: the share of requests that succeeded, as the client saw it.

The client's own measurements are the truth here; Prometheus loses what a killed pod counted after its last scrape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness.objective import Finding
from harness.objectives._fields import ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives._share import ShareDemand, ShareObjective, show_share, steady_state
from harness.observation import RequestSeen, Timeline


class Availability(ShareObjective):
    """At least ``min`` of the requests that were due in the phases succeeded."""

    kind: ClassVar[str] = "availability"

    min: ProperShare = Field(description="share of requests that must succeed, such as 99.9%")

    @property
    def title(self) -> str:
        return f"availability at least {show_share(self.min)}"

    @property
    def demand(self) -> ShareDemand:
        return ShareDemand("at least", self.min, self.confidence, "requests succeeded", self.min_samples)

    def spoils(self, request: RequestSeen) -> bool:
        return not request.ok

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        requests = timeline.requests_in(phases or self.phases)
        if not requests:
            return inconclusive(f"no request was due in {', '.join(phases or self.phases)}")
        good = sum(request.ok for request in requests)
        outcomes = Counter(request.outcome for request in requests if not request.ok)
        detail = {f"failed: {outcome}": str(count) for outcome, count in outcomes.most_common()}
        if steady_state(phases):
            return self.demand.judge_steady(good, len(requests), detail)
        return self.demand.judge(timeline, good, len(requests), detail)

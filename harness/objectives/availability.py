"""Availability: the share of requests that succeeded, as the client saw it.

The client's own measurements are the truth here; Prometheus loses what a killed pod counted after its last scrape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from harness.objective import Finding, Objective
from harness.objectives._fields import DISRUPTED, Phases, ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives._share import RequiredShare, show_share, steady_state
from harness.observation import Timeline


class Availability(Objective):
    """At least ``min`` of the requests that were due in the phases succeeded."""

    kind: ClassVar[str] = "availability"

    min: ProperShare = Field(description="share of requests that must succeed, such as 99.9%")
    phases: Phases = DISRUPTED
    confidence: ProperShare = Field(0.95, description="of the bounds that decide")

    @property
    def title(self) -> str:
        return f"availability at least {show_share(self.min)}"

    @property
    def checks_baseline(self) -> bool:
        return True

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        requests = timeline.requests_in(phases or self.phases)
        if not requests:
            return inconclusive(f"no request was due in {', '.join(phases or self.phases)}")
        good = sum(request.ok for request in requests)
        outcomes = Counter(request.outcome for request in requests if not request.ok)
        detail = {f"failed: {outcome}": str(count) for outcome, count in outcomes.most_common()}
        required = RequiredShare(self.min, self.confidence, "requests succeeded")
        if steady_state(phases):
            return required.judge_steady(good, len(requests), detail)
        return required.judge(timeline, good, len(requests), detail)

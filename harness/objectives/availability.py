"""Availability: the share of requests that succeeded, measured by the client.

Prometheus is no substitute: the requests that a killed pod counted after its last scrape are lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.request_store import Bools, Floats
from harness.model.requests import Requests
from harness.model.timeline import Timeline
from harness.objectives._fields import ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives._share import (
    ShareDemand,
    ShareObjective,
    doubted_if_closed,
    over_when_seen_last,
    show_share,
    steady_state,
)


class Availability(ShareObjective):
    """At least ``min`` of the requests that were due in the phases succeeded."""

    kind: ClassVar[str] = "availability"
    example: ClassVar[Mapping[str, Any]] = {"min": "99%"}

    min: ProperShare = Field(description="the share of requests that must succeed, such as 99.9%")

    @property
    def title(self) -> str:
        return f"availability at least {show_share(self.min)}{self.of_load}"

    @property
    def demand(self) -> ShareDemand:
        return ShareDemand("at least", self.min, self.confidence, "requests succeeded", self.min_samples)

    def counts_against(self, requests: Requests, took: Floats) -> Bools:
        del took
        return ~requests.ok

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        timeline = timeline.of_load(self.load)
        requests = timeline.requests_in(phases or self.phases)
        if not requests:
            return inconclusive(f"no request was due in {', '.join(phases or self.phases)}")
        outcomes = requests.where(~requests.ok).outcomes
        good = len(requests) - outcomes.total()
        detail = {f"failed: {outcome}": str(count) for outcome, count in outcomes.most_common()}
        if steady_state(phases):
            return self.demand.judge_steady(good, len(requests), detail)
        finding = self.demand.judge(timeline, good, len(requests), detail)
        finding = over_when_seen_last(finding, self, timeline, phases or self.phases)
        return doubted_if_closed(finding, self, timeline, phases or self.phases)

"""Error rate: the share of requests that failed, in any way or in certain ways.

If every failure counts, it is the complement of availability. With ``kinds`` it covers certain failures only: for
example responses with status 500, while refused connections are covered by another objective.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

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

_STATUS_CLASS = re.compile(r"[1-5]xx")
_WORD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 _-]*")


def _outcome(value: str) -> str:
    if not _WORD.fullmatch(value) or value == "ok":
        raise ValueError(
            f"found {value!r}, expected a kind of failure: a status (503), a class (5xx), timeout, refused"
        )
    return value


Outcome = Annotated[str, AfterValidator(_outcome)]


class ErrorRate(ShareObjective):
    """At most ``max`` of the requests that were due in the phases failed in one of the ways listed in ``kinds``."""

    kind: ClassVar[str] = "errorRate"
    example: ClassVar[Mapping[str, Any]] = {"max": "1%", "kinds": ["5xx", "timeout"]}

    max: ProperShare = Field(description="the share of requests that may fail, such as 0.1%")
    kinds: Annotated[tuple[Outcome, ...], Field(min_length=1)] | None = Field(
        default=None, description="the failures that count, such as [5xx, timeout] (default: all)"
    )

    @property
    def title(self) -> str:
        which = f" ({', '.join(self.kinds)})" if self.kinds else ""
        return f"error rate{which} at most {show_share(self.max)}{self.of_load}"

    @property
    def demand(self) -> ShareDemand:
        noun = f"requests failed with {' or '.join(self.kinds)}" if self.kinds else "requests failed"
        return ShareDemand("at most", self.max, self.confidence, noun, self.min_samples)

    def counts_against(self, requests: Requests, took: Floats) -> Bools:
        del took
        return self._counted(requests)

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        timeline = timeline.of_load(self.load)
        requests = timeline.requests_in(phases or self.phases)
        if not requests:
            return inconclusive(f"no request was due in {', '.join(phases or self.phases)}")
        outcomes = requests.where(self._counted(requests)).outcomes
        detail = {f"failed: {outcome}": str(count) for outcome, count in outcomes.most_common()}
        if steady_state(phases):
            return self.demand.judge_steady(outcomes.total(), len(requests), detail)
        finding = self.demand.judge(timeline, outcomes.total(), len(requests), detail)
        finding = over_when_seen_last(finding, self, timeline, phases or self.phases)
        return doubted_if_closed(finding, self, timeline, phases or self.phases)

    def _counted(self, requests: Requests) -> Bools:
        kinds = self.kinds
        if kinds is None:
            return ~requests.ok
        return ~requests.ok & requests.has_outcome(lambda outcome: any(_is(outcome, kind) for kind in kinds))


def _is(outcome: str, kind: str) -> bool:
    if _STATUS_CLASS.fullmatch(kind):
        return len(outcome) == 3 and outcome.isdigit() and outcome[0] == kind[0]
    return outcome == kind

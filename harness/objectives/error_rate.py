"""Error rate: the share of requests that failed, all of them or those that failed in certain ways.

Availability's mirror image where every failure counts. Where only some do, it asks another question: none of 500s,
say, while refused connections are the load balancer's affair and have an objective of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from harness.objective import Finding
from harness.objectives._fields import ProperShare
from harness.objectives._findings import inconclusive
from harness.objectives._share import ShareDemand, ShareObjective, show_share, steady_state
from harness.observation import RequestSeen, Timeline

_STATUS_CLASS = re.compile(r"[1-5]xx")
_WORD = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 _-]*")


def _outcome(value: str) -> str:
    if not _WORD.fullmatch(value) or value == "ok":
        raise ValueError(
            f"found {value!r}, expected how requests fail: a status (503), a class (5xx), timeout, refused"
        )
    return value


Outcome = Annotated[str, AfterValidator(_outcome)]


class ErrorRate(ShareObjective):
    """At most ``max`` of the requests that were due in the phases failed, in one of the ways that ``kinds`` names."""

    kind: ClassVar[str] = "errorRate"

    max: ProperShare = Field(description="share of requests that may fail, such as 0.1%")
    kinds: Annotated[tuple[Outcome, ...], Field(min_length=1)] | None = Field(
        None, description="the failures that count, such as [5xx, timeout]; by default all of them"
    )

    @property
    def title(self) -> str:
        which = f" ({', '.join(self.kinds)})" if self.kinds else ""
        return f"error rate{which} at most {show_share(self.max)}"

    @property
    def demand(self) -> ShareDemand:
        noun = f"requests failed with {' or '.join(self.kinds)}" if self.kinds else "requests failed"
        return ShareDemand("at most", self.max, self.confidence, noun, self.min_samples)

    def spoils(self, request: RequestSeen) -> bool:
        return not request.ok and (self.kinds is None or any(_is(request.outcome, kind) for kind in self.kinds))

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        requests = timeline.requests_in(phases or self.phases)
        if not requests:
            return inconclusive(f"no request was due in {', '.join(phases or self.phases)}")
        outcomes = Counter(request.outcome for request in requests if self.spoils(request))
        detail = {f"failed: {outcome}": str(count) for outcome, count in outcomes.most_common()}
        if steady_state(phases):
            return self.demand.judge_steady(outcomes.total(), len(requests), detail)
        return self.demand.judge(timeline, outcomes.total(), len(requests), detail)


def _is(outcome: str, kind: str) -> bool:
    if _STATUS_CLASS.fullmatch(kind):
        return len(outcome) == 3 and outcome.isdigit() and outcome[0] == kind[0]
    return outcome == kind

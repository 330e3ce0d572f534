"""A rollback brings the last good version back: the pod template of the baseline, complete, in time.

Compared is the template, not the revision's number: a rollback gives the old ReplicaSet a new number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from harness.objective import Finding, Objective
from harness.objectives._fields import Limit, WorkloadRef
from harness.objectives._findings import inconclusive, never, within
from harness.objectives._series import last_before, number, values
from harness.observation import Interval, Observation, Timeline
from harness.quantities import show_seconds
from harness.recovery import origin_of
from harness.recovery.gaps import states_lost, watch_open_ended
from harness.verdict import Verdict


class RolledBack(Objective):
    """After the undo the workload is complete on the template that it had in the baseline, ``within`` a time of the
    undo, and stays so: every replica updated and available, none left over, the controller up to date."""

    kind: ClassVar[str] = "rolledBack"

    of: WorkloadRef
    within: Limit = Field(description="from the undo to the complete workload, such as 30s")

    @property
    def title(self) -> str:
        return f"{self.of} rolled back within {show_seconds(self.within)}"

    def pending(self, timeline: Timeline) -> str:
        injected, seen = timeline.injected(), values(timeline, "workloads", self.of)
        before = last_before(seen, injected.low) if injected else None
        if before is None or _complete_on(seen[-1], before):
            return ""
        return f"{self.of} is not complete on its former template yet"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # what counts is the time after the undo
        origin = origin_of(timeline, "undone")
        if isinstance(origin, str):
            return inconclusive(origin)
        seen = values(timeline, "workloads", self.of)
        before = last_before(seen, origin.disrupted.low)
        if before is None or not before.value.get("template"):
            return inconclusive(f"the template of {self.of} was not seen before the injection")
        meanwhile = [one for one in seen if origin.disrupted.low <= one.at < origin.counted.high]
        if not any(one.value.get("template") != before.value["template"] for one in meanwhile):
            return inconclusive(f"{self.of} was not seen on another template: there was nothing to roll back")
        after = [one for one in seen if one.at >= origin.counted.low]
        incomplete = [index for index, one in enumerate(after) if not _complete_on(one, before)]
        since_then = after[incomplete[-1] + 1 :] if incomplete else after
        what, since = f"{self.of} was complete on its former template", "the undo"
        if since_then:
            at = since_then[0].at
            finding = within(what, origin.length(Interval(at, at)), self.within, since)
            # What a relist told at ``at`` is the state of that instant; later gaps may hide another disturbance.
            if finding.verdict is Verdict.HELD and states_lost(timeline, "workloads", math.nextafter(at, math.inf)):
                unseen = "but the watch broke afterwards, so it may have been disturbed again unseen"
                finding = replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {unseen}")
        elif watch_open_ended(timeline, "workloads"):
            finding = inconclusive(f"the watch on workloads broke before {self.of} was complete")
        else:
            finding = never(what, origin.until - origin.counted.high, self.within, since)
        return replace(finding, samples=len(after))


def _complete_on(seen: Observation, before: Observation) -> bool:
    desired = number(seen, "desired")
    counts = {number(seen, key) for key in ("updated", "available", "replicas")}
    up_to_date = number(seen, "observed_generation") >= number(seen, "generation")
    return bool(seen.value.get("template") == before.value.get("template") and up_to_date and counts == {desired})

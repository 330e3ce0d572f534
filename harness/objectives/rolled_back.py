"""Rolled back: after the undo, or a rollback in the fault phase, the workload is completely on the pod template of the
baseline, in time.

It compares the template and not the revision number, since a rollback gives the old ReplicaSet a new number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.reported import Status, Unknown
from harness.model.timeline import Interval, Timeline, around
from harness.model.verdict import Verdict
from harness.objectives._fields import Limit, WorkloadRef
from harness.objectives._findings import inconclusive, never, within
from harness.objectives._series import last_before, statuses
from harness.objectives._stuck import advice
from harness.objectives.base import Objective
from harness.objectives.recovery import Origin, origin_of
from harness.objectives.recovery.gaps import states_lost, watch_open_ended


class RolledBack(Objective):
    """The workload is complete on the template of the baseline ``within`` a time limit from the undo, and stays so.

    With ``since: rollback`` the time counts from the fault ``rollback`` of this workload, and it must stay so until
    that is undone. Complete means that all replicas are updated and available, no other replicas exist, and the
    controller has observed the current generation.
    """

    kind: ClassVar[str] = "rolledBack"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "within": "30s"}

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    within: Limit = Field(description="the time limit from the undo until the workload is complete, such as 30s")
    since: Literal["undo", "rollback"] = Field(
        default="undo", description="what the time counts from: the undo, or the fault rollback of this workload"
    )

    @property
    def title(self) -> str:
        after = " of the rollback" if self.since == "rollback" else ""
        return f"{self.of} rolled back within {show_seconds(self.within)}{after}"

    def pending(self, timeline: Timeline) -> str:
        injected, seen = timeline.injected(), statuses(timeline, "workloads", self.of)
        before = last_before(seen, injected.low) if injected else None
        if before is None or _complete_on(seen[-1], before):
            return ""
        return f"{self.of} is not yet complete on its previous template"

    def awaits(self, timeline: Timeline) -> str:
        return self.pending(timeline) if self.since == "rollback" else ""

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges the time after the undo
        origin = self._origin(timeline)
        if isinstance(origin, str):
            return inconclusive(origin)
        seen = statuses(timeline, "workloads", self.of)
        before = last_before(seen, origin.disrupted.low)
        if before is None or not before.value.get("template"):
            return inconclusive(f"the template of {self.of} was not observed before the injection")
        meanwhile = [one for one in seen if origin.disrupted.low <= one.at < origin.counted.high]
        if not any(one.value.get("template") != before.value["template"] for one in meanwhile):
            return inconclusive(f"{self.of} was never observed on another template, so there was nothing to roll back")
        after = [one for one in seen if origin.counted.low <= one.at < origin.until]
        incomplete = [index for index, one in enumerate(after) if not _complete_on(one, before)]
        since_then = after[incomplete[-1] + 1 :] if incomplete else after
        what, since = f"{self.of} was complete on its previous template", f"the {self.since}"
        if since_then:
            at = since_then[0].at
            finding = within(what, origin.length(Interval(at, at)), self.within, since)
            # A gap that ended at ``at`` does not matter: the relist then showed the state of that instant. During a
            # later gap the workload may have become incomplete again.
            if finding.verdict is Verdict.HELD and states_lost(timeline, "workloads", math.nextafter(at, math.inf)):
                missed = "but the watch was interrupted afterwards, so a later disruption may have been missed"
                finding = replace(finding, verdict=Verdict.INCONCLUSIVE, reason=f"{finding.reason}, {missed}")
        elif watch_open_ended(timeline, "workloads"):
            finding = inconclusive(f"the watch on workloads was interrupted before {self.of} was complete")
        else:
            finding = never(what, origin.until - origin.counted.high, self.within, since)
            last = after[-1] if after else seen[-1]
            why = (finding.reason, _missing(last, before), advice(timeline, last, origin.until))
            finding = replace(finding, reason="; ".join(filter(None, why)))
        return replace(finding, samples=len(after))

    def _origin(self, timeline: Timeline) -> Origin | str:
        if self.since == "undo":
            return origin_of(timeline, "undone")
        origin = origin_of(timeline, "injected")
        found = [
            seen
            for seen in timeline.injections
            if seen.fault == "rollback" and self.of in {str(victim) for victim in seen.victims}
        ]
        if isinstance(origin, str) or not found:
            return origin if isinstance(origin, str) else f"{self.of} was not rolled back by a fault `rollback`"
        # The undo of the harness may repair what the rollback did not.
        until = min((seen.undone.low for seen in found if seen.undone), default=origin.until)
        return replace(origin, counted=around([seen.injected for seen in found]), until=until)


_COUNTS = ("updated", "available", "replicas")


def _complete_on(seen: Status, before: Status) -> bool:
    return not _missing(seen, before)


def _missing(seen: Status, before: Status) -> str:
    """Return why a workload is not complete on its previous template; "" if it is."""
    if seen.gone:
        return f"{seen.subject} was deleted"
    if seen.behind:
        return seen.behind.reason
    if seen.value.get("template") != before.value.get("template"):
        return f"{seen.subject} is on another template"
    desired = seen.count("desired")
    found = {key: seen.count(key) for key in _COUNTS}
    unknown = [number.reason for number in (desired, *found.values()) if isinstance(number, Unknown)]
    wrong = [f"{number} {key}" for key, number in found.items() if number != desired]
    if unknown or wrong:
        return "; ".join(filter(None, (*(unknown[:1] or [f"{', '.join(wrong)} of {desired} desired"]), seen.trouble)))
    return ""

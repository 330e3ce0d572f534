"""Drained: a drain evicts its pods in time, which disruption budgets may prevent.

A budget protects users, and a drain that it blocks keeps the node from being upgraded or repaired. This objective
judges the second; ``invariant`` and ``availability`` judge the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import counted, show_seconds
from harness.model.timeline import Injection, Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Limit
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives.base import Objective
from harness.objectives.recovery import watched_until
from harness.objectives.recovery.gaps import watch_open_ended

_DRAIN = "drain"


class Drained(Objective):
    """Every pod that a drain must evict is gone ``within`` a time limit from the start of the drain.

    A pod that is still there when the drain is undone counts as not evicted, unless it is terminating by then. Pods of
    other namespaces are not judged. A drain that may be blocked needs ``mayBlock: true`` to have evidence.
    """

    kind: ClassVar[str] = "drained"
    example: ClassVar[Mapping[str, Any]] = {"within": "30s"}

    within: Limit = Field(description="the time limit from the start of the drain until its pods are gone, such as 30s")

    @property
    def title(self) -> str:
        return f"nodes drained within {show_seconds(self.within)}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judged from each drain to its undo
        drains = [each for each in timeline.injections if each.fault == _DRAIN]
        if not drains:
            return inconclusive("no drain was injected")
        return combined([self._drained(timeline, drain) for drain in drains])

    def _drained(self, timeline: Timeline, drain: Injection) -> Finding:
        nodes = ", ".join(victim.name for victim in drain.victims if victim.kind == "Node")
        pods = {victim.uid: victim.name for victim in drain.victims if victim.kind == "Pod"}
        leaving, gone = _departures(timeline, pods)
        began, undone = drain.injected.low, drain.undone.high if drain.undone else math.inf
        observed = sum(uid in leaving for uid in pods)
        if not observed:
            return inconclusive(f"no pod that was to be evicted from {nodes} was observed")
        stay = sorted(name for uid, name in pods.items() if leaving.get(uid, 0.0) > undone)
        what, since = f"the drain of {nodes} removed {counted(observed, 'pod')}", "its start"
        ended = max(gone.get(uid, math.inf) for uid in leaving)
        if not stay and ended < math.inf:
            took = ended - began
            return replace(within(what, Interval(took, took), self.within, since), samples=observed)
        if watch_open_ended(timeline, "pods"):
            return inconclusive(f"the watch on pods was interrupted before all pods of {nodes} were gone")
        finding = never(what, min(undone, watched_until(timeline)) - began, self.within, since)
        if stay and finding.verdict is Verdict.BROKEN:
            reason = f"{finding.reason}; {', '.join(stay)} stayed; evidence: {drain.evidence}"
            finding = replace(finding, reason=reason)
        return replace(finding, samples=observed)


def _departures(timeline: Timeline, uids: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    """Return when each of these pods began to terminate, and when it was gone; infinite for one that stayed."""
    leaving: dict[str, float] = {}
    gone: dict[str, float] = {}
    for seen in timeline.observations("pods"):
        if seen.error is not None or not isinstance(seen.value, Mapping) or seen.value.get("uid") not in uids:
            continue
        uid, deleted = str(seen.value["uid"]), seen.value.get("event") == "DELETED"
        leaves = deleted or bool(seen.value.get("deleting"))
        leaving[uid] = min(leaving.get(uid, math.inf), seen.at if leaves else math.inf)
        gone[uid] = min(gone.get(uid, math.inf), seen.at if deleted else math.inf)
    return leaving, gone

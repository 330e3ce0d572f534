"""A bad rollout halts: its deadline is reported, and what served before goes on serving meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from harness.objective import Finding, Objective
from harness.objectives._fields import Count, DeploymentRef, Limit
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._series import in_force, number, values
from harness.observation import Interval, Observation, Timeline
from harness.quantities import show_seconds
from harness.recovery import Origin, origin_of
from harness.recovery.gaps import states_lost
from harness.verdict import Verdict

DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


class RolloutHalts(Objective):
    """The Deployment reports ProgressDeadlineExceeded ``within`` a time of the injection, and at every observation up
    to the undo it has at least ``minAvailable`` available replicas and at most ``maxTotal`` in all."""

    kind: ClassVar[str] = "rolloutHalts"

    of: DeploymentRef
    within: Limit = Field(description="from the injection to the reported deadline, such as 40s")
    min_available: Count | None = None
    max_total: Count | None = None

    @property
    def title(self) -> str:
        return f"rollout of {self.of} halts within {show_seconds(self.within)}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # what counts lies between the injection and the undo
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str):
            return inconclusive(origin)
        undone = [seen.undone.low for seen in timeline.injections if seen.undone]
        end = min(undone, default=origin.until)
        seen = in_force(values(timeline, "workloads", self.of), origin.disrupted.low, end)
        if not seen or seen[-1].at < origin.disrupted.low:
            return inconclusive(f"nothing was seen of {self.of} between the injection and the undo")
        blind = states_lost(timeline, "workloads", origin.disrupted.low)
        parts = [self._halted(timeline, seen, origin, end, blind)]
        if self.min_available is not None:
            least = min(seen, key=lambda one: number(one, "available"))
            parts.append(_bound(least, "available", self.min_available, ">=", blind))
        if self.max_total is not None:
            most = max(seen, key=lambda one: number(one, "replicas"))
            parts.append(_bound(most, "replicas", self.max_total, "<=", blind))
        return replace(combined(parts), samples=len(seen))

    def _halted(self, timeline: Timeline, seen: list[Observation], origin: Origin, end: float, blind: bool) -> Finding:
        what, since = f"{self.of} reported that its deadline is exceeded", "the injection"
        # A condition left over from an earlier rollout tells nothing of this one: it must have been clear before.
        clear = next((index for index, one in enumerate(seen) if not _exceeded(one)), len(seen))
        reported = next((one for one in seen[clear:] if _exceeded(one)), None)
        if reported is not None:
            told = reported.value["conditions"]["Progressing"].get("since")
            low = reported.at if told is None else min(float(told) - timeline.wall_origin, reported.at)
            return within(what, origin.length(Interval(low, reported.at)), self.within, since)
        if clear == len(seen):
            return inconclusive(f"{self.of} reported an exceeded deadline before the injection already")
        if blind:
            return inconclusive("the watch on workloads broke, so a reported deadline may have gone unseen")
        return never(what, end - origin.disrupted.high, self.within, since)


def _exceeded(seen: Observation) -> bool:
    progressing = (seen.value.get("conditions") or {}).get("Progressing") or {}
    return progressing.get("status") == "False" and progressing.get("reason") == DEADLINE_EXCEEDED


def _bound(seen: Observation, key: str, limit: int, comparison: str, blind: bool) -> Finding:
    count = number(seen, key)
    holds = count >= limit if comparison == ">=" else count <= limit
    word = "at least" if comparison == ">=" else "at most"
    noun = "available" if key == "available" else "in all"
    reason = f"{count} replicas {noun} at {show_seconds(max(0.0, seen.at))}, {word} {limit} asked for at every moment"
    verdict = Verdict.HELD if holds else Verdict.BROKEN
    if holds and blind:
        verdict, reason = Verdict.INCONCLUSIVE, f"{reason}, but the watch broke and states may have gone unseen"
    return Finding(verdict, reason, count, count, count, limit, "replicas", comparison)

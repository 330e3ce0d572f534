"""Rollout ends: what the controller of a progressive delivery decides about a new version, by its own analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.reported import Status
from harness.model.timeline import Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, Limit, RolloutRef
from harness.objectives._findings import combined, inconclusive, never, show_length, within
from harness.objectives._limits import bound
from harness.objectives._series import counts, in_force, last_before, statuses
from harness.objectives.base import Objective
from harness.objectives.recovery import Origin, origin_of
from harness.objectives.recovery.gaps import states_lost

Outcome = Literal["promoted", "aborted", "inconclusive"]
# Why Argo Rollouts pauses a rollout whose analysis neither succeeded nor failed.
_INCONCLUSIVE = frozenset({"InconclusiveAnalysisRun", "InconclusiveExperiment"})


class RolloutEnds(Objective):
    """The Rollout (Argo Rollouts) reaches ``outcome``, and no other one, ``within`` a time limit from the injection.

    ``promoted``: the new version is the stable one. ``aborted``: its analysis failed, and the stable version stays.
    ``inconclusive``: its analysis neither succeeded nor failed, and the Rollout waits for a decision. With
    ``maxUpdated`` at most so many replicas have the new version at every observation until the undo.
    """

    kind: ClassVar[str] = "rolloutEnds"
    example: ClassVar[Mapping[str, Any]] = {
        "of": "rollout/podinfo",
        "outcome": "aborted",
        "within": "40s",
        "maxUpdated": 1,
    }

    of: RolloutRef = Field(description="the Rollout, such as rollout/podinfo")
    outcome: Outcome = Field(description="promoted, aborted or inconclusive")
    within: Limit = Field(description="the time limit from the injection until the outcome, such as 40s")
    max_updated: Count | None = Field(
        default=None, description="the maximum number of replicas of the new version until the undo"
    )

    @property
    def title(self) -> str:
        return f"{self.of} {self.outcome} within {show_seconds(self.within)}"

    def awaits(self, timeline: Timeline) -> str:
        injected, known = timeline.injected(), statuses(timeline, "workloads", self.of)
        before = last_before(known, injected.low) if injected else None
        if before is None or any(_outcome(one, before) for one in known):
            return ""
        return f"{self.of} was not {self.outcome}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges the time between the injection and the undo
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str):
            return inconclusive(origin)
        # The undo rolls out the stable version again, which has an outcome of its own.
        end = min((seen.undone.low for seen in timeline.injections if seen.undone), default=origin.until)
        known = statuses(timeline, "workloads", self.of)
        before = last_before(known, origin.disrupted.low)
        if before is None:
            return inconclusive(f"{self.of} was not observed before the injection")
        seen = in_force(known, origin.disrupted.low, end)
        lost = states_lost(timeline, "workloads", origin.disrupted.low)
        parts = [self._decided(seen, before, origin, end, lost)]
        if self.max_updated is not None:
            # Before the controller has observed the change, all replicas are of the version that it replaces.
            first = next((one.at for one in seen if _is_changed(one, before)), None)
            if first is None:
                return inconclusive(f"{self.of} was never observed with a new version")
            parts.append(
                bound(
                    self.of,
                    [count for count in counts(known, "workloads", "updated") if first <= count.at <= end],
                    "<=",
                    self.max_updated,
                    sentence="{} replicas of the new version at {}",
                    requirement=f"at most {self.max_updated} allowed at every moment",
                    states_lost=lost,
                )
            )
        return replace(combined(parts), samples=len(seen))

    def _decided(self, seen: list[Status], before: Status, origin: Origin, end: float, lost: bool) -> Finding:
        what, since = f"{self.of} was {self.outcome}", "the injection"
        decided = next(((one, found) for one in seen if (found := _outcome(one, before))), None)
        if decided and decided[1] != self.outcome:
            took = show_length(_time_of(decided[0], origin))
            reason = f"{self.of} was {decided[1]} {took} after the injection, expected: {self.outcome}"
            message = (decided[0].value.get("delivery") or {}).get("message") or ""
            return Finding(verdict=Verdict.BROKEN, reason="; ".join(filter(None, (reason, message))))
        if lost:
            return inconclusive(f"the watch on workloads was interrupted, so an outcome of {self.of} may be missed")
        if decided:
            return within(what, _time_of(decided[0], origin), self.within, since)
        if seen[-1].gone:
            return Finding(verdict=Verdict.BROKEN, reason=f"{self.of} was deleted")
        if seen[-1].behind:
            return inconclusive(f"{self.of} was not {self.outcome}, and {seen[-1].behind.reason}")
        return never(what, end - origin.disrupted.high, self.within, since)


def _outcome(seen: Status, before: Status) -> Outcome | None:
    """Return what the controller has decided about a version that is newer than ``before``; None if nothing yet."""
    delivery = seen.value.get("delivery") or {}
    if seen.gone or not _is_changed(seen, before):
        return None
    if delivery.get("aborted"):
        return "aborted"
    if _INCONCLUSIVE & set(delivery.get("paused") or ()):
        return "inconclusive"
    return "promoted" if delivery.get("stable") == delivery.get("current") else None


def _time_of(seen: Status, origin: Origin) -> Interval:
    return origin.length(Interval(seen.at, seen.at))


def _is_changed(seen: Status, before: Status) -> bool:
    """Return whether the controller works on another version than ``before``."""
    now, then = seen.value.get("delivery") or {}, before.value.get("delivery") or {}
    return not seen.behind and bool(now.get("current")) and now.get("current") != then.get("current")

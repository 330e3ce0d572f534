"""Rollout halts: a bad rollout exceeds its progress deadline, and the old replicas continue to serve meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import dropwhile
from typing import Any, ClassVar

from pydantic import Field

from harness.model.finding import Finding
from harness.model.quantities import show_seconds
from harness.model.reported import Status
from harness.model.timeline import Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, DeploymentRef, Limit
from harness.objectives._findings import combined, inconclusive, never, within
from harness.objectives._limits import bound
from harness.objectives._series import between, counts, in_force, statuses
from harness.objectives.base import Objective
from harness.objectives.recovery import Origin, origin_of
from harness.objectives.recovery.gaps import states_lost

DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"


class RolloutHalts(Objective):
    """The Deployment reports ProgressDeadlineExceeded ``within`` a time limit from the injection.

    At every observation until the undo it has at least ``minAvailable`` available replicas and at most ``maxTotal``
    replicas in total. With ``tolerance`` the report must also be on time: at ``spec.progressDeadlineSeconds`` after the
    rollout's last progress, not earlier, and at most ``tolerance`` later. Both times are the controller's own, in whole
    seconds.
    """

    kind: ClassVar[str] = "rolloutHalts"
    example: ClassVar[Mapping[str, Any]] = {
        "of": "deployment/podinfo",
        "within": "40s",
        "minAvailable": 3,
        "maxTotal": 4,
    }

    of: DeploymentRef = Field(description="the Deployment, such as deployment/podinfo")
    within: Limit = Field(
        description="the time limit from the injection until ProgressDeadlineExceeded is reported, such as 40s"
    )
    min_available: Count | None = Field(
        default=None, description="the minimum number of available replicas until the undo"
    )
    max_total: Count | None = Field(default=None, description="the maximum number of replicas in total until the undo")

    tolerance: Limit | None = Field(
        default=None,
        description="how much later than spec.progressDeadlineSeconds after the last progress the report may be, such "
        "as 5s; by default this is not judged",
    )

    @property
    def title(self) -> str:
        return f"rollout of {self.of} halts within {show_seconds(self.within)}"

    def awaits(self, timeline: Timeline) -> str:
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str) or any(injection.undone for injection in timeline.injections):
            return ""
        seen = in_force(statuses(timeline, "workloads", self.of), origin.disrupted.low)
        return "" if _first_report(seen) else f"{self.of} has not reported {DEADLINE_EXCEEDED}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # judges the time between the injection and the undo
        origin = origin_of(timeline, "injected")
        if isinstance(origin, str):
            return inconclusive(origin)
        undone = [seen.undone.low for seen in timeline.injections if seen.undone]
        # After the first of several undos, changes are no longer due to the rollout alone.
        end = min(undone, default=origin.until)
        known = statuses(timeline, "workloads", self.of)
        seen = in_force(known, origin.disrupted.low, end)
        if not seen or seen[-1].at < origin.disrupted.low:
            return inconclusive(f"{self.of} was not observed between the injection and the undo")
        lost = states_lost(timeline, "workloads", origin.disrupted.low)
        reported = _first_report(seen)
        parts = [self._halted(timeline, seen, origin, end, lost)]
        if reported is not None and self.tolerance is not None:
            parts.append(_on_time(self.of, seen, reported, self.tolerance, lost))
        limits = (
            ("available", "available", ">=", "at least {} required", self.min_available),
            ("replicas", "in total", "<=", "at most {} allowed", self.max_total),
        )
        for key, noun, comparison, requirement, limit in limits:
            if limit is not None:
                found = between(counts(known, "workloads", key), self.of, origin.disrupted.low, end)
                part = bound(
                    self.of,
                    found,
                    comparison,
                    limit,
                    sentence=f"{{}} replicas {noun} at {{}}",
                    requirement=f"{requirement.format(limit)} at every moment",
                    states_lost=lost,
                )
                parts.append(_with_details(part, timeline, self.of))
        return replace(combined(parts), samples=len(seen))

    def _halted(self, timeline: Timeline, seen: list[Status], origin: Origin, end: float, lost: bool) -> Finding:
        what, since = f"{self.of} reported ProgressDeadlineExceeded", "the injection"
        reported = _first_report(seen)
        if reported is not None:
            changed = reported.value["conditions"]["Progressing"].get("since")
            # The timestamp has whole seconds of another machine's clock, which may be ahead: the arrival of the event
            # bounds it.
            low = reported.at if changed is None else min(float(changed) - timeline.wall_origin, reported.at)
            return within(what, origin.length(Interval(low, reported.at)), self.within, since)
        if all(map(_exceeded, seen)):
            return inconclusive(f"{self.of} already reported ProgressDeadlineExceeded before the injection")
        if lost:
            return inconclusive(
                "the watch on workloads was interrupted, so ProgressDeadlineExceeded may have been missed"
            )
        if seen[-1].gone:
            reason = f"{self.of} was deleted at {show_seconds(max(0.0, seen[-1].at))}"
            return Finding(verdict=Verdict.BROKEN, reason=reason)
        if seen[-1].behind:
            return inconclusive(f"{self.of} has not reported ProgressDeadlineExceeded, and {seen[-1].behind.reason}")
        finding = never(what, end - origin.disrupted.high, self.within, since)
        return replace(finding, reason="; ".join(filter(None, (finding.reason, _why_not(seen), seen[-1].trouble))))


def _why_not(seen: Sequence[Status]) -> str:
    """Return why the exceeded deadline was not reported, as far as the last status shows it; may be empty."""
    first, last = seen[0], seen[-1]
    desired = last.count("desired")
    complete = all(last.count(key) == desired for key in ("updated", "available", "replicas"))
    if complete and last.value.get("template") != first.value.get("template"):
        return f"the rollout was completed: all {desired} replicas are of the new version, which nothing stopped"
    deadline = last.value.get("deadline")
    return "" if deadline is None else f"progressDeadlineSeconds is {deadline}, counted from the last progress"


def _with_details(part: Finding, timeline: Timeline, of: str) -> Finding:
    """Return a finding on replicas; if BROKEN, with what the faults recorded of the Deployment before the change."""
    victims = (victim for injection in timeline.injections for victim in injection.victims)
    details = dict.fromkeys(victim.detail for victim in victims if str(victim) == of and victim.detail)
    if part.verdict is not Verdict.BROKEN or not details:
        return part
    return replace(part, reason=f"{part.reason}; before the fault: {'; '.join(details)}")


def _on_time(of: str, seen: Sequence[Status], reported: Status, tolerance: float, lost: bool) -> Finding:
    """Judge the time from the last progress to the report against the Deployment's own deadline."""
    deadline, since = reported.value.get("deadline"), reported.value["conditions"]["Progressing"].get("since")
    before = [one for one in seen if one.at < reported.at]
    progressed = before[-1].value.get("progressed") if before else None
    if lost or deadline is None or since is None or progressed is None:
        return inconclusive(f"the last progress of {of} before its deadline was not observed")
    # The controller counts from the time that it wrote, so only the end has a resolution, of one second.
    took = Interval(float(since) - progressed, float(since) - progressed + 1.0)
    what = f"{of} reported ProgressDeadlineExceeded (progressDeadlineSeconds: {deadline})"
    if took.high < deadline:
        reason = f"{what} {show_seconds(took.high)} after its last progress at the latest, before its deadline"
        return Finding.bounded(
            Verdict.BROKEN, reason, took.low, low=took.low, high=took.high, limit=deadline, unit="s", comparison=">="
        )
    return within(what, took, deadline + tolerance, "its last progress")


def _first_report(seen: Sequence[Status]) -> Status | None:
    """Return the first status that reports the deadline, except a condition of an earlier rollout."""
    # A condition from an earlier rollout does not count: it must have been false or missing before.
    new = dropwhile(_exceeded, seen)
    # While the controller is behind, its conditions describe the previous version.
    return next((one for one in new if _exceeded(one) and not (one.gone or one.behind)), None)


def _exceeded(seen: Status) -> bool:
    progressing = (seen.value.get("conditions") or {}).get("Progressing") or {}
    return progressing.get("status") == "False" and progressing.get("reason") == DEADLINE_EXCEEDED

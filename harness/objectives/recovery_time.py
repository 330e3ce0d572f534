"""Recovery time: how long the workload was down, on each of the selected clocks; the slowest one decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from harness.model.clock_errors import Calibration
from harness.model.finding import DISAGREEMENT, Finding
from harness.model.quantities import show_seconds
from harness.model.timeline import Interval, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Limit, LoadName, WorkloadRef
from harness.objectives._findings import combined, inconclusive
from harness.objectives.base import Objective
from harness.objectives.recovery import (
    CLOCKS,
    ClockName,
    Recovery,
    Since,
    disagreement,
    origin_of,
    recovered,
    recoveries,
)
from harness.objectives.recovery.user import CLOCK as USER_CLOCK

Clock = Literal["controlPlane", "endpoints", "user", "prometheus"]
_NAMES: dict[Clock, ClockName] = dict(zip(get_args(Clock), CLOCKS, strict=True))


class RecoveryTime(Objective):
    """The workload is back within ``max`` of the disruption (or of its undo), on every one of ``clocks``.

    A clock that saw no disruption counts as 0 s, if at least one of the control plane, endpoints and user clocks did
    see one, whether selected or not. If none of them did, nothing recovered and the finding is INCONCLUSIVE. Pods
    without container statuses are not ready. Fewer desired replicas can only shorten the recovery time, so HELD is
    certain even if the watch on workloads was interrupted for a while or at the end.
    """

    kind: ClassVar[str] = "recoveryTime"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "of": "deployment/podinfo",
        "max": "20s",
        "clocks": ["user", "endpoints", "controlPlane"],
    }

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    max: Limit = Field(description="the longest recovery time allowed, such as 20s")
    clocks: Annotated[tuple[Clock, ...], Field(min_length=1)] = Field(
        ("controlPlane", "endpoints", "user"), description="the recovery clocks to judge"
    )
    since: Since = Field(
        default="injected", description="the start of the recovery time: the injection of the fault or its undo"
    )
    services: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="the Services of the endpoints clock (default: all that had a ready pod of the workload)",
    )
    load: LoadName = ""

    @property
    def title(self) -> str:
        seen = f" (load {self.load})" if self.load else ""
        return f"recovery of {self.of} within {show_seconds(self.max)}{seen}"

    def pending(self, timeline: Timeline) -> str:
        done, reason = recovered(timeline.of_load(self.load), self.of, since=self.since, services=self.services)
        return "" if done else f"{self.of}: {reason}"

    def awaits(self, timeline: Timeline) -> str:
        if isinstance(origin_of(timeline, self.since), str):
            return ""
        # Separately for the last injection: after the recovery from an earlier one, its effect may not be visible yet.
        return self.pending(timeline.of_last_moment()) or self.pending(timeline)

    def recoveries(self, timeline: Timeline) -> list[Recovery]:
        """Return the recovery of the workload on every clock; the selected ones are marked as judged."""
        selected = {_NAMES[name] for name in self.clocks}
        found = recoveries(timeline.of_load(self.load), self.of, since=self.since, services=self.services)
        return [replace(clock, judged=clock.clock in selected) for clock in found]

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # a recovery belongs to the whole run
        unproven = [seen.fault for seen in timeline.injections if not seen.proven]
        if unproven or not timeline.injections:
            return inconclusive(f"no evidence that {unproven[0]} took effect" if unproven else "no fault was injected")
        clocks = self.recoveries(timeline)
        timeline = timeline.of_load(self.load)
        load_error = timeline.load.clock_error if timeline.load else 0.0
        parts = [self._part(clock, timeline.calibration, load_error) for clock in clocks if clock.judged]
        seen = [clock for clock in clocks if clock.state in {"recovered", "not recovered"}]
        if not any(clock.clock != "prometheus" for clock in seen):
            parts.append(inconclusive(f"no clock saw a disruption of {self.of}"))
        # `combined` takes the numbers of the first decisive part, which should be the slowest clock.
        worst_first = sorted(parts, key=lambda part: part.observed if part.observed is not None else -1.0, reverse=True)
        finding = combined(worst_first)
        detail = {f"{clock.clock}: {clock.subject}": f"{clock.state}: {clock.reason}" for clock in clocks}
        reason = f"at most {show_seconds(self.max)} allowed; {finding.reason}"
        contradiction = disagreement(timeline, self.of, self.since)
        if contradiction:
            detail |= {DISAGREEMENT: contradiction}
        return replace(finding, reason=reason, samples=len(seen), detail=detail)

    def _part(self, clock: Recovery, calibration: Calibration | None, load_error: float) -> Finding:
        if clock.length is None:
            return inconclusive(f"{clock.clock}: no data: {clock.reason}")
        reason = f"{clock.clock}: {clock.reason}"
        verdict, (low, high) = self._verdict(clock.length), (clock.length.low, clock.length.high)
        error = calibration.worst(clock.clock) if calibration else 0.0
        # The users' clock has the times of the load, which may be those of another machine.
        error += load_error if clock.clock == USER_CLOCK else 0.0
        margin = self.max - high if verdict is Verdict.HELD else low - self.max
        # A length closer to the limit than the largest error seen in the calibration may really be on the other side of
        # it.
        if verdict is not Verdict.INCONCLUSIVE and margin < error:
            verdict = Verdict.INCONCLUSIVE
            near = f"{show_seconds(margin)} from the limit"
            reason += f", {near}, which is less than this clock's calibrated error of {show_seconds(error)}"
        known = high if math.isfinite(high) else None
        return Finding.bounded(
            verdict,
            reason,
            low if known is None else known,
            low=low,
            high=known,
            limit=self.max,
            unit="s",
            comparison="<=",
        )

    def _verdict(self, length: Interval) -> Verdict:
        if length.high <= self.max:
            return Verdict.HELD
        return Verdict.BROKEN if length.low > self.max else Verdict.INCONCLUSIVE

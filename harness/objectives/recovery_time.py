"""Recovery time: how long the workload was away, on each of the clocks asked for; the worst one decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from harness.accuracy import Calibration
from harness.objective import Finding, Objective
from harness.objectives._fields import Limit, WorkloadRef
from harness.objectives._findings import combined, inconclusive
from harness.observation import Interval, Timeline
from harness.quantities import show_seconds
from harness.recovery import CLOCKS, ClockName, Recovery, Since, recovered, recoveries
from harness.verdict import Verdict

Clock = Literal["controlPlane", "endpoints", "user", "prometheus"]
_NAMES: dict[Clock, ClockName] = dict(zip(get_args(Clock), CLOCKS, strict=True))


class RecoveryTime(Objective):
    """The workload is back within ``max`` of the disruption (or of its undo), on every one of ``clocks``.

    A clock that saw no disruption took no time, as long as one that counts did see it: of the control plane, the
    endpoints and the users, asked for or not. If none did, nothing recovered, and nothing is shown.
    """

    kind: ClassVar[str] = "recoveryTime"

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    max: Limit = Field(description="the longest recovery allowed, such as 20s")
    clocks: Annotated[tuple[Clock, ...], Field(min_length=1)] = ("controlPlane", "endpoints", "user")
    since: Since = Field("injected", description="what recovery counts from: the disrupting call or its undo")
    services: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="the Services of the endpoints clock; by default all that front the workload"
    )

    @property
    def title(self) -> str:
        return f"recovery of {self.of} within {show_seconds(self.max)}"

    def pending(self, timeline: Timeline) -> str:
        done, reason = recovered(timeline, self.of, since=self.since, services=self.services)
        return "" if done else f"{self.of}: {reason}"

    def recoveries(self, timeline: Timeline) -> list[Recovery]:
        """What every clock says, asked for or not."""
        return recoveries(timeline, self.of, since=self.since, services=self.services)

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # a recovery belongs to the whole run
        unproven = [seen.fault for seen in timeline.injections if not seen.proven]
        if unproven or not timeline.injections:
            return inconclusive(f"{unproven[0]} is not proven to have bitten" if unproven else "nothing was injected")
        clocks = self.recoveries(timeline)
        asked = [clock for clock in clocks if clock.clock in {_NAMES[name] for name in self.clocks}]
        parts = [self._part(clock, timeline.calibration) for clock in asked]
        seen = [clock for clock in clocks if clock.state in {"recovered", "not recovered"}]
        if not any(clock.clock != "prometheus" for clock in seen):
            parts.append(inconclusive(f"no clock saw a disruption of {self.of}"))
        worst_first = sorted(parts, key=lambda part: part.observed if part.observed is not None else -1.0, reverse=True)
        finding = combined(worst_first)
        detail = {f"{clock.clock}: {clock.subject}": f"{clock.state}: {clock.reason}" for clock in clocks}
        reason = f"at most {show_seconds(self.max)} allowed; {finding.reason}"
        return replace(finding, reason=reason, samples=len(seen), detail=detail)

    def _part(self, clock: Recovery, calibration: Calibration | None) -> Finding:
        if clock.length is None:
            return inconclusive(f"{clock.clock}: no data: {clock.reason}")
        reason = f"{clock.clock}: {clock.reason}"
        verdict, (low, high) = self._verdict(clock.length), (clock.length.low, clock.length.high)
        error = calibration.worst(clock.clock) if calibration else 0.0
        margin = self.max - high if verdict is Verdict.HELD else low - self.max
        if verdict is not Verdict.INCONCLUSIVE and margin < error:
            verdict = Verdict.INCONCLUSIVE
            near = f"{show_seconds(margin)} from the limit"
            reason += f", {near}, which is less than this clock's calibrated error of {show_seconds(error)}"
        known = high if math.isfinite(high) else None
        return Finding(verdict, reason, low if known is None else known, low, known, self.max, "s", "<=")

    def _verdict(self, length: Interval) -> Verdict:
        if length.high <= self.max:
            return Verdict.HELD
        return Verdict.BROKEN if length.low > self.max else Verdict.INCONCLUSIVE

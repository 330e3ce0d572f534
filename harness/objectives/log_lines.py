"""Log lines: the number of lines of a kind in the logs of a workload's pods, such as requests that should not be there.

The application itself then proves what no client can see: that a pod that was not ready served nobody, or that no
error was logged. The probe ``podLogs`` reads the logs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.model.finding import Finding
from harness.model.quantities import Duration, counted, show_seconds
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import DISRUPTED, Count, Phases, WorkloadRef
from harness.objectives._findings import inconclusive
from harness.objectives.base import Objective
from harness.objectives.recovery.gaps import states_lost
from harness.objectives.recovery.pods import pods_of


class LogLines(Objective):
    """Between ``min`` and ``max`` lines match the pattern of the probe ``name`` in the logs of all pods of ``of``.

    Lines count by the time that the node gave them, in ``phases`` and at the earliest ``after`` the last injection. A
    pod whose log was not read, because it was deleted before the end for example, makes it INCONCLUSIVE unless there
    are already too many lines. So does a log without a single line, matching or not.
    """

    kind: ClassVar[str] = "logLines"
    example: ClassVar[Mapping[str, Any]] = {
        "of": "deployment/podinfo",
        "name": "errors",
        "max": 0,
        "after": "5s",
        "phases": ["fault"],
    }

    of: WorkloadRef = Field(description="the workload, such as deployment/podinfo")
    name: str = Field(min_length=1, description="the name of a probe podLogs")
    min: Count | None = Field(default=None, description="the minimum number of lines")
    max: Count | None = Field(default=None, description="the maximum number of lines")
    after: Duration = Field(default=0.0, description="lines within this time after the last injection do not count")
    phases: Phases = Field(default=DISRUPTED, description="the phases whose lines count")

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("found neither min nor max, expected at least one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"found min: {self.min} above max: {self.max}, expected min to be at most max")
        return self

    @property
    def title(self) -> str:
        return f"log lines {self.name} of {self.of}"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        injected = timeline.injected()
        if injected is None:
            return inconclusive("no fault was injected")
        names, begin = phases or self.phases, injected.high + self.after
        spans = [(max(phase.start, begin), phase.end) for phase in timeline.window(names)]
        window = [(start, end) for start, end in spans if start < end]
        looks = timeline.observations("logs", self.name)
        if not looks:
            return inconclusive(f"no logs were read: list a probe podLogs with name: {self.name}")
        last = looks[-1]
        if last.error is not None or not isinstance(last.value, Mapping):
            return inconclusive(f"the logs could not be read: {last.error or 'no value'}")
        if not window or last.at < window[-1][1]:
            return inconclusive(f"no logs were read after {', '.join(names)}, or nothing counts there")
        logs: Mapping[str, Mapping[str, Any]] = last.value["pods"]
        counts = {uid: _count(timeline, log["at"], window) for uid, log in logs.items()}
        finding = self._in_range(logs, counts)
        exceeded = self.max is not None and sum(counts.values()) > self.max
        if not exceeded and (why := self._missing(timeline, logs, window[0][0])):
            return inconclusive(f"{finding.reason}; {why}")
        return finding

    def _missing(self, timeline: Timeline, logs: Mapping[str, Mapping[str, Any]], since: float) -> str:
        """Return which logs may lack lines; empty if none."""
        if states_lost(timeline, "pods", since):
            return "the watch on pods was interrupted, so there may be pods whose log was not read"
        last = {pod.uid: pod for pod in pods_of(timeline, self.of)}
        there = [pod for pod in last.values() if pod.containers and (pod.at >= since or not pod.gone)]
        unread = sorted(pod.name for pod in there if pod.uid not in logs)
        if unread:
            return f"the logs of {', '.join(unread)} were not read"
        partly = sorted(log["pod"] for log in logs.values() if not log["complete"])
        if partly:
            return f"only a part of the logs of {', '.join(partly)} could be read"
        return "" if sum(log["read"] for log in logs.values()) else "the logs are empty"

    def _in_range(self, logs: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]) -> Finding:
        total, read = sum(counts.values()), sum(log["read"] for log in logs.values())
        where = sorted(f"{logs[uid]['pod']}: {count}" for uid, count in counts.items() if count)
        low, high = self.min or 0, self.max
        required = f"at least {low}" if high is None else f"at most {high}" if not low else f"{low} to {high}"
        begin = f", from {show_seconds(self.after)} after the injection" if self.after else ""
        reason = f"{counted(total, 'line')}{begin}, {required} required"
        reason += f" ({', '.join(where)})" if where else ""
        by_maximum = high is not None and total >= low
        broken = total < low or (high is not None and total > high)
        return Finding.exact(
            Verdict.BROKEN if broken else Verdict.HELD,
            reason,
            total,
            limit=high if by_maximum else low,
            unit="lines",
            comparison="<=" if by_maximum else ">=",
            samples=read,
            detail={"lines read": str(read)},
        )


def _count(timeline: Timeline, times: Sequence[float], window: Sequence[tuple[float, float]]) -> int:
    at = [time - timeline.wall_origin for time in times]
    return sum(any(start <= time < end for start, end in window) for time in at)

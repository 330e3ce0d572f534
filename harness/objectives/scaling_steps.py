"""Scaling steps: how an autoscaler's wanted size changes, one step at a time as its behaviour policies promise.

A step is a change of the desired replicas from one known number to another. A change of direction is one step up after
one down, or the other way round; the changes back and forth of an autoscaler that flaps are counted by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from harness.model.finding import Finding
from harness.model.phase_names import FAULT
from harness.model.quantities import counted, show_seconds
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Count, Limit, reference
from harness.objectives._findings import combined, inconclusive
from harness.objectives._limits import MISSED_STATES, when
from harness.objectives._series import between, counts, statuses, unknown_now, values
from harness.objectives.base import Due, LiveObjective
from harness.objectives.recovery.gaps import states_lost

_Positive = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, slots=True)
class _Step:
    """A change of the desired replicas. ``quiet`` is for how long no metric had asked for ``before``, if known."""

    at: float
    before: int
    after: int
    quiet: float | None = None

    @property
    def size(self) -> int:
        return self.after - self.before

    def __str__(self) -> str:
        return f"{self.before} → {self.after} at {when(self.at)}"


class ScalingSteps(LiveObjective):
    """Every change of an autoscaler's desired replicas from the fault phase on keeps to all the given limits.

    ``downAfter`` is measured from the autoscaler's own status: from when its metrics no longer wanted the size that
    it had, to the step down. Only metrics of CPU and memory with a target per pod are understood there.
    """

    kind: ClassVar[str] = "scalingSteps"
    example: ClassVar[Mapping[str, Any]] = {"of": "hpa/podinfo", "maxDown": 1, "downAfter": "15s", "maxReversals": 1}

    of: Annotated[str, AfterValidator(reference("hpa"))] = Field(description="the autoscaler, hpa/NAME")
    max_up: _Positive | None = Field(default=None, description="the most replicas to be added in one step")
    max_down: _Positive | None = Field(default=None, description="the most replicas to be removed in one step")
    down_after: Limit | None = Field(
        default=None, description="the least time between the last metrics that wanted the size and a step down"
    )
    max_reversals: Count | None = Field(
        default=None, description="the most changes of direction; one spike that ends has one"
    )

    @model_validator(mode="after")
    def _requires_something(self) -> Self:
        if {self.max_up, self.max_down, self.down_after, self.max_reversals} == {None}:
            raise ValueError("found no requirement, expected maxUp, maxDown, downAfter or maxReversals")
        return self

    @property
    def title(self) -> str:
        return f"scaling steps of {self.of}"

    def unready(self, timeline: Timeline) -> str:
        return unknown_now(timeline, "autoscalers", self.of, ("desired",))

    def breached(self, timeline: Timeline, due: Due) -> str:
        del due  # one step is enough
        return next((part.reason for part in self._parts(timeline) if part.verdict is Verdict.BROKEN), "")

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # from the fault phase to the end of the run
        fault = timeline.phase(FAULT)
        if fault is None:
            return inconclusive("the run did not reach the fault phase")
        parts = self._parts(timeline)
        if not parts:
            return inconclusive(f"{self.of} had no step that could be judged")
        found = replace(combined(parts), samples=len(self._steps(timeline)))
        if found.verdict is Verdict.HELD and states_lost(timeline, "autoscalers", fault.start):
            return replace(found, verdict=Verdict.INCONCLUSIVE, reason=f"{found.reason}, {MISSED_STATES}")
        return found

    def _parts(self, timeline: Timeline) -> list[Finding]:
        steps = self._steps(timeline)
        return [found for found in self._judged(steps) if found is not None] if steps else []

    def _judged(self, steps: Sequence[_Step]) -> Iterator[Finding | None]:
        up, down = [step for step in steps if step.size > 0], [step for step in steps if step.size < 0]
        if self.max_up is not None:
            yield self._size(up, self.max_up, "added")
        if self.max_down is not None:
            yield self._size(down, self.max_down, "removed")
        if self.down_after is not None:
            yield self._waited(down, self.down_after)
        if self.max_reversals is not None:
            turns = [b for a, b in pairwise(steps) if (a.size > 0) != (b.size > 0)]
            number, limit = len(turns), self.max_reversals
            reason = f"{self.of} changed its direction {counted(number, 'time')}, at most {limit} allowed"
            reason += f" ({', '.join(map(str, steps))})" if number > limit else ""
            verdict = Verdict.HELD if number <= limit else Verdict.BROKEN
            yield Finding.exact(verdict, reason, number, limit=limit, unit="changes", comparison="<=")

    def _size(self, steps: Sequence[_Step], limit: int, verb: str) -> Finding | None:
        if not steps:
            return inconclusive(f"{self.of} never {verb} a replica")
        largest = max(steps, key=lambda step: abs(step.size))
        number = abs(largest.size)
        verdict = Verdict.HELD if number <= limit else Verdict.BROKEN
        reason = f"{self.of} {verb} {counted(number, 'replica')} in its largest step ({largest}), "
        reason += f"at most {limit} allowed"
        return Finding.exact(verdict, reason, number, limit=limit, unit="replicas", comparison="<=")

    def _waited(self, steps: Sequence[_Step], limit: float) -> Finding:
        if not steps:
            return inconclusive(f"{self.of} never removed a replica")
        known = [(step.quiet, step) for step in steps if step.quiet is not None]
        if len(known) < len(steps):
            return inconclusive(f"{self.of} removed replicas, but what its metrics asked for is unknown")
        shortest, step = min(known, key=lambda each: each[0])
        verdict = Verdict.HELD if shortest >= limit else Verdict.BROKEN
        reason = f"{self.of} went {step} {show_seconds(shortest)} after its metrics last wanted {step.before}, "
        reason += f"at least {show_seconds(limit)} required"
        return Finding.exact(verdict, reason, shortest, limit=limit, unit="s", comparison=">=")

    def _steps(self, timeline: Timeline) -> list[_Step]:
        """Return the steps from the fault phase on."""
        fault = timeline.phase(FAULT)
        if fault is None:
            return []
        seen = statuses(timeline, "autoscalers", self.of)
        sizes = between(counts(seen, "autoscalers", "desired"), self.of, fault.start)
        known = [(each, each.number) for each in sizes if isinstance(each.number, int)]
        return [
            _Step(each.at, before, number, self._quiet(timeline, each.at, before) if number < before else None)
            for (_, before), (each, number) in pairwise(known)
            if number != before
        ]

    def _quiet(self, timeline: Timeline, at: float, size: int) -> float | None:
        """Return for how long before ``at`` no metric asked for ``size`` replicas; None if that is unknown."""
        settings = values(timeline, "scaling", self.of)
        if not settings:
            return None
        asked = [
            (seen.at, number)
            for seen in values(timeline, "autoscalers", self.of)
            if seen.at <= at and (number := _asked_for(seen.value, settings[-1].value)) is not None
        ]
        last = max((index for index, (_, number) in enumerate(asked) if number >= size), default=None)
        if last is None:
            return None
        # A status is in force until the next one, so it ends when the metrics ask for less.
        return at - asked[last + 1][0] if last + 1 < len(asked) else 0.0


def _asked_for(status: Mapping[str, Any], settings: Mapping[str, Any]) -> int | None:
    """Return what the metrics in a status ask for, as the controller computes it: the most of all metrics."""
    current, found = status.get("current"), []
    for metric in settings["metrics"]:
        name = f"{metric['container']}/{metric['resource']}" if metric["container"] else metric["resource"]
        value = (status.get("metrics") or {}).get(name)
        if value is None or not isinstance(current, int):
            continue
        ratio = value / metric["target"]
        found.append(current if abs(ratio - 1) <= settings["tolerance"] else math.ceil(ratio * current))
    return max(found, default=None)

"""Recommendation: what a Vertical Pod Autoscaler recommends for a container, compared with its known use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from harness.model.amounts import AmountRange
from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.objectives._amounts import Level, bounds_of, during_fault, level, settled
from harness.objectives._fields import Limit, reference
from harness.objectives._series import values
from harness.objectives.base import Objective

_SERIES = "recommendations"


class Recommendation(Objective):
    """The target for a container comes within the bounds ``within`` a time limit, and stays there during the fault.

    The target is that of the status: within ``minAllowed`` and ``maxAllowed`` of the autoscaler's policy.
    """

    kind: ClassVar[str] = "recommendation"
    broken_is_final: ClassVar[bool] = True
    example: ClassVar[Mapping[str, Any]] = {
        "of": "vpa/podinfo",
        "container": "app",
        "cpu": {"atLeast": "50m", "atMost": "200m"},
        "within": "45s",
    }

    of: Annotated[str, AfterValidator(reference("vpa"))] = Field(description="the autoscaler, vpa/NAME")
    container: str = Field(min_length=1, description="the container of the workload")
    cpu: AmountRange | None = Field(default=None, description="the bounds of the CPU, atLeast and atMost, such as 50m")
    memory: AmountRange | None = Field(default=None, description="the bounds of the memory, such as 64Mi")
    within: Limit = Field(description="the time limit from the start of the fault phase")

    @model_validator(mode="after")
    def _requires_something(self) -> Self:
        if self.cpu is None and self.memory is None:
            raise ValueError("found no requirement, expected cpu, memory or both")
        return self

    @property
    def title(self) -> str:
        bounds = ", ".join(f"{bound.shown(name)} {name}" for name, bound in self._bounds.items())
        return f"{self.of} recommends {bounds} for {self.container}"

    def awaits(self, timeline: Timeline) -> str:
        seen = during_fault(timeline, self._levels(timeline))
        return "" if seen and seen[-1].good else f"{self.title}: not yet"

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        del phases  # the time limit counts from the fault phase
        levels = self._levels(timeline)
        return replace(settled(timeline, _SERIES, levels, self.within), samples=len(levels))

    @property
    def _bounds(self) -> dict[str, AmountRange]:
        return bounds_of(self.cpu, self.memory)

    def _levels(self, timeline: Timeline) -> list[Level]:
        found = []
        for seen in values(timeline, _SERIES, self.of):
            known = (seen.value.get("containers") or {}).get(self.container) or {}
            found.append(level(seen.at, known.get("target") or {}, self._bounds))
        return found

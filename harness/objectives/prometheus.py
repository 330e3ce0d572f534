"""Prometheus: a PromQL ratio or value of each phase, held against a bound. It corroborates what the client measured.

The queries run after the phases; what they returned stands in the series ``prometheus`` under the objective's name.
Every phase is judged by itself, so that nothing from before the fault leaks in, and no phase may be without a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from harness.objective import Finding, Objective
from harness.objectives._fields import Phases
from harness.objectives._findings import combined, inconclusive
from harness.objectives._share import show_share
from harness.observation import Observation, Timeline
from harness.quantities import parse_share
from harness.statistics import wilson
from harness.verdict import Verdict

Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_CONFIDENCE = 0.95


class Prometheus(Objective):
    """``good`` over ``total`` is at least ``min``, or ``value`` is at least ``min`` or at most ``max``, in every phase.

    Queries may use ``$namespace`` and ``$window`` (the phase's length, such as ``12s``). Missing data, NaN and a ratio
    above 1, which says that ``good`` is no part of ``total``, come out as ``noData`` says.
    """

    kind: ClassVar[str] = "prometheus"

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    good: Query | None = None
    total: Query | None = None
    value: Query | None = None
    min: (
        Annotated[float, BeforeValidator(parse_share), Field(json_schema_extra={"type": ["number", "string"]})] | None
    ) = Field(None, description="a number; for a ratio a share such as 99.9%")
    max: float | None = None
    # The recovery phase ends as soon as everything is back: it is often too short for a window.
    phases: Phases = ("fault", "settle")
    no_data: Literal["inconclusive", "broken"] = "inconclusive"

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        ratio = self.good is not None or self.total is not None
        if ratio == (self.value is not None):
            raise ValueError("found both or neither of good/total and value, expected exactly one of the two")
        if ratio and (self.good is None or self.total is None):
            raise ValueError("found one of good and total, expected both")
        if ratio and (self.min is None or self.max is not None):
            raise ValueError("found no min or a max beside good and total, expected min alone, such as min: 99.9%")
        if ratio and self.min is not None and not 0 < self.min <= 1:
            raise ValueError(f"found min: {self.min:g}, expected a share above 0% and up to 100%")
        if not ratio and (self.min is None) == (self.max is None):
            raise ValueError("found both or neither of min and max beside value, expected exactly one of them")
        return self

    @property
    def title(self) -> str:
        return self.name

    @property
    def checks_baseline(self) -> bool:
        return True

    @property
    def checks_control(self) -> bool:
        return True

    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        seen = timeline.observations("prometheus", self.name)
        parts: list[Finding] = []
        for phase in phases or self.phases:
            found = [one for one in seen if isinstance(one.value, Mapping) and one.value.get("phase") == phase]
            parts.append(self._of_phase(phase, found[-1] if found else None, seen))
        closest_first = sorted(parts, key=lambda part: math.inf if part.margin is None else part.margin)
        return replace(combined(closest_first), samples=sum(part.samples for part in parts))

    def _of_phase(self, phase: str, seen: Observation | None, every: Sequence[Observation]) -> Finding:
        if seen is None:
            # A query that failed before it was known for which phase still tells why there is no number.
            errors = [one.error for one in every if one.error is not None and not isinstance(one.value, Mapping)]
            return self._missing(phase, errors[-1] if errors else "the query was not asked")
        if seen.error is not None:
            return self._missing(phase, seen.error)
        return self._ratio(phase, seen.value) if self.value is None else self._value(phase, seen.value)

    def _ratio(self, phase: str, value: Mapping[str, Any]) -> Finding:
        good, total = _finite(value, "good"), _finite(value, "total")
        if good is None or total is None:
            return self._missing(phase, f"{'good' if good is None else 'total'} is no number")
        if total <= 0:
            return self._missing(phase, "total is 0, so there is nothing to take a share of")
        # Sums of floats may differ in the last digits although they add up the same series.
        good = total if math.isclose(good, total) else good
        if not 0 <= good <= total:
            return self._missing(
                phase, f"good ({good:g}) is no part of total ({total:g}): do the queries fit together?"
            )
        share = good / total
        limit = self.min or 0.0
        bounds = wilson(good, total, _CONFIDENCE)
        reason = f"{phase}: {show_share(share)} of {total:.0f} ({show_share(bounds.low)} to {show_share(bounds.high)}"
        reason += f" with {show_share(_CONFIDENCE)} confidence), at least {show_share(limit)} asked for"
        verdict = Verdict.HELD if share >= limit else Verdict.BROKEN
        numbers = (share * 100, bounds.low * 100, bounds.high * 100, limit * 100)
        detail = {phase: f"{good:g} of {total:g}"}
        return Finding(verdict, reason, *numbers, "%", ">=", _samples(value), detail)

    def _value(self, phase: str, value: Mapping[str, Any]) -> Finding:
        seen = _finite(value, "value")
        if seen is None:
            return self._missing(phase, "the value is no number")
        limit, comparison = (self.min, ">=") if self.min is not None else (self.max or 0.0, "<=")
        holds = seen >= limit if comparison == ">=" else seen <= limit
        asked = f"at least {limit:g}" if comparison == ">=" else f"at most {limit:g}"
        verdict = Verdict.HELD if holds else Verdict.BROKEN
        reason, detail = f"{phase}: {seen:g}, {asked} asked for", {phase: f"{seen:g}"}
        return Finding(verdict, reason, seen, seen, seen, limit, "", comparison, _samples(value), detail)

    def _missing(self, phase: str, why: str) -> Finding:
        finding = inconclusive(f"{phase}: no data: {why}")
        return finding if self.no_data == "inconclusive" else replace(finding, verdict=Verdict.BROKEN)


def _finite(value: Mapping[str, Any], key: str) -> float | None:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return float(number)


def _samples(value: Mapping[str, Any]) -> int:
    return int(value.get("samples") or 0)

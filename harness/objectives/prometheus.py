"""Prometheus: a PromQL ratio or value of each phase, held against a bound. It corroborates what the client measured.

The queries run after the phases; what they returned stands in the series ``prometheus`` under the objective's name.
Every phase is judged by itself, so that nothing from before the fault leaks in, and no phase may be without a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from harness.objective import Finding, Objective
from harness.objectives._fields import Phases, ProperShare
from harness.objectives._findings import combined, inconclusive
from harness.objectives._share import show_share
from harness.observation import Observation, Timeline
from harness.quantities import parse_share
from harness.statistics import percentile, shared_confidence, wilson
from harness.verdict import Verdict

_REDUCERS: Mapping[str | None, Callable[[Sequence[float]], float]] = {
    None: lambda values: values[-1],
    "last": lambda values: values[-1],
    "min": min,
    "max": max,
    "mean": fmean,
}
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")


def _reducer(name: str) -> str:
    quantile = _QUANTILE.fullmatch(name)
    if name not in _REDUCERS and not (quantile and float(quantile[1]) > 0):
        raise ValueError(f"found {name!r}, expected min, max, mean, last or a quantile such as p95")
    return name


Reducer = Annotated[str, AfterValidator(_reducer)]
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_CONFIDENCE = 0.95


class Prometheus(Objective):
    """``good`` over ``total`` is at least ``min``, or ``value`` is at least ``min`` or at most ``max``, in every phase.

    Queries may use ``$namespace`` and ``$window`` (the phase's length, such as ``12s``). With a ``reducer`` the value
    is asked once a scrape, and the reducer makes one number of those of a phase; without one it is asked at the phase's
    end, and every range in the query must be ``[$window]``. A ratio's counters stand in a ``rate``, an ``increase`` or
    the like: as they are, they count since their process started. Wilson's bounds decide about a ratio, in every phase;
    with ``confidence: null`` what Prometheus counted is taken as it is, however little that was. Missing data, gaps,
    targets never scraped, warnings, NaN and a ratio above 1, which says that ``good`` is no part of ``total``, come out
    as ``noData`` says.
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
    reducer: Reducer | None = Field(None, description="min, max, mean, last or p95, say: of the values of a phase")
    min_samples: Annotated[int, Field(ge=1)] = Field(
        1, description="the fewest that count: of the total for a ratio, else of the samples read"
    )
    confidence: ProperShare | None = Field(
        # A default in the schema would be offered beside value, too.
        default_factory=lambda given: _CONFIDENCE if given.get("value") is None else None,
        description="of the bounds that decide about a ratio, 95% when left out; null takes what was counted as it is",
    )
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
        if ratio and self.reducer is not None:
            raise ValueError("found a reducer beside good and total, expected it beside value")
        if not ratio and self.confidence is not None:
            raise ValueError("found a confidence beside value, expected it beside good and total")
        if self.confidence is not None and self.min == 1:
            raise ValueError("found min: 100%, which no number of samples shows, expected confidence: null beside it")
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

    @property
    def claims(self) -> int:
        return 0 if self.confidence is None else len(self.phases)

    def among(self, claims: int) -> Self:
        if self.confidence is None:
            return self
        return self.model_copy(update={"confidence": shared_confidence(self.confidence, claims)})

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
        warnings = seen.value.get("warnings") or ()
        if warnings:
            return self._missing(phase, f"Prometheus warned: {'; '.join(warnings)}")
        finding = self._ratio(phase, seen.value) if self.value is None else self._value(phase, seen.value)
        notes = seen.value.get("notes") or ()
        return replace(finding, detail=finding.detail | {f"{phase}: noted": "; ".join(notes)}) if notes else finding

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
        if total < self.min_samples:
            return self._missing(phase, f"a total of {total:.0f}, at least {self.min_samples} asked for")
        return self._share(phase, good, total, _samples(value))

    def _share(self, phase: str, good: float, total: float, samples: int) -> Finding:
        share, limit = good / total, self.min or 0.0
        confidence = self.confidence or _CONFIDENCE
        bounds = wilson(good, total, confidence)
        reason = f"{phase}: {show_share(share)} of {total:.0f} ({show_share(bounds.low)} to {show_share(bounds.high)}"
        reason += f" with {show_share(confidence)} confidence), at least {show_share(limit)} asked for"
        verdict = Verdict.HELD if share >= limit else Verdict.BROKEN
        if self.confidence is not None and bounds.low < limit <= bounds.high:
            verdict, reason = Verdict.INCONCLUSIVE, f"{reason}: too few to tell"
        numbers = (share * 100, bounds.low * 100, bounds.high * 100, limit * 100)
        detail = {phase: f"{good:g} of {total:g}"}
        return Finding(verdict, reason, *numbers, "%", ">=", samples, detail)

    def _value(self, phase: str, value: Mapping[str, Any]) -> Finding:
        values = self._values(value)
        if not values:
            return self._missing(phase, "the value is no number")
        samples = len(values) if self.reducer else _samples(value)
        if samples < self.min_samples and self.min_samples > 1:
            return self._missing(phase, f"{samples} samples, at least {self.min_samples} asked for")
        seen = _REDUCERS[self.reducer](values) if self.reducer in _REDUCERS else _quantile(self.reducer, values)
        limit, comparison = (self.min, ">=") if self.min is not None else (self.max or 0.0, "<=")
        holds = seen >= limit if comparison == ">=" else seen <= limit
        asked = f"at least {limit:g}" if comparison == ">=" else f"at most {limit:g}"
        how = f" ({self.reducer} of {len(values)} samples, {min(values):g} to {max(values):g})" if self.reducer else ""
        verdict = Verdict.HELD if holds else Verdict.BROKEN
        reason, detail = f"{phase}: {seen:g}{how}, {asked} asked for", {phase: f"{seen:g}{how}"}
        return Finding(verdict, reason, seen, seen, seen, limit, "", comparison, samples, detail)

    def _values(self, value: Mapping[str, Any]) -> list[float]:
        """The numbers to judge; none when any of them is no number."""
        given = value.get("values") if self.reducer else [value.get("value")]
        found = [_finite({"one": one}, "one") for one in given or ()]
        return [] if None in found else [one for one in found if one is not None]

    def _missing(self, phase: str, why: str) -> Finding:
        finding = inconclusive(f"{phase}: no data: {why}")
        return finding if self.no_data == "inconclusive" else replace(finding, verdict=Verdict.BROKEN)


def _finite(value: Mapping[str, Any], key: str) -> float | None:
    number = value.get(key)
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return float(number)


def _quantile(reducer: str | None, values: Sequence[float]) -> float:
    return percentile(values, float(str(reducer).removeprefix("p")) / 100)


def _samples(value: Mapping[str, Any]) -> int:
    return int(value.get("samples") or 0)

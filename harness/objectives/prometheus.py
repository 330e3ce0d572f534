"""Prometheus: a PromQL ratio or value of each phase, compared with a limit. It complements the client's measurements.

The queries run after the phases; their results are in the series ``prometheus`` under the objective's name. Every phase
is judged separately, so that no data from before the fault is included, and every phase must have a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from harness.model.finding import Finding
from harness.model.quantities import parse_share
from harness.model.timeline import Observation, Timeline
from harness.model.verdict import Verdict
from harness.objectives._fields import Phases, ProperShare
from harness.objectives._findings import combined, inconclusive
from harness.objectives._share import show_share
from harness.objectives.base import Objective
from harness.prometheus.promql import checked_query
from harness.stats.bounds import percentile, shared_confidence, wilson

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
Query = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(checked_query)]
_CONFIDENCE = 0.95


class Prometheus(Objective):
    """``good`` over ``total`` is at least ``min``, or ``value`` is at least ``min`` or at most ``max``, in every phase.

    Queries may use ``$namespace`` and ``$window`` (the phase's length, such as ``12s``). With a ``reducer`` the value
    is queried once per scrape, and the reducer combines the values of a phase into one number. Without a reducer it is
    queried at the end of the phase, and every range in the query must be ``[$window]``. The counters of a ratio must be
    inside ``rate``, ``increase`` or a similar function: a raw counter counts since its process started. The verdict on
    a ratio uses Wilson's confidence bounds in every phase; with ``confidence: null`` the counts are taken as exact,
    even if they are small. Missing data, gaps, targets that were never scraped, warnings, NaN and a ratio above 1
    (``good`` is not part of ``total``) give the verdict set by ``noData``.
    """

    kind: ClassVar[str] = "prometheus"
    example: ClassVar[Mapping[str, Any]] = {
        "name": "no 5xx",
        "good": "sum(a)",
        "total": "sum(b)",
        "min": "99%",
        "noData": "inconclusive",
    }

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="the name in reports"
    )
    good: Query | None = Field(default=None, description="for a ratio: the PromQL query for the number of good events")
    total: Query | None = Field(default=None, description="for a ratio: the PromQL query for the number of all events")
    value: Query | None = Field(default=None, description="instead of a ratio: the PromQL query for a value")
    min: (
        Annotated[float, BeforeValidator(parse_share), Field(json_schema_extra={"type": ["number", "string"]})] | None
    ) = Field(default=None, description="the lower limit: for a ratio a share such as 99.9%, for a value a number")
    max: float | None = Field(default=None, description="the upper limit of the value")
    reducer: Reducer | None = Field(
        default=None, description="how to combine the values of a phase: min, max, mean, last or a quantile such as p95"
    )
    min_samples: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="the minimum total of a ratio, or number of samples of a value; with fewer there is no data",
    )
    confidence: ProperShare | None = Field(
        # A default in the schema would be suggested by editors together with value, too.
        default_factory=lambda given: _CONFIDENCE if given.get("value") is None else None,
        description="for a ratio: the confidence of the verdict (default: 95%); null takes the counts as exact",
    )
    phases: Phases = Field(
        # Without recovery, which ends as soon as everything is back and is often too short for a window.
        ("fault", "settle"),
        description="the phases to judge, each separately",
    )
    no_data: Literal["inconclusive", "broken"] = Field(
        default="inconclusive", description="the verdict without usable data"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        ratio = self.good is not None or self.total is not None
        if ratio == (self.value is not None):
            raise ValueError("found both or neither of good/total and value, expected exactly one of the two")
        if ratio and (self.good is None or self.total is None):
            raise ValueError("found one of good and total, expected both")
        if ratio and (self.min is None or self.max is not None):
            raise ValueError("found no min or a max with good and total, expected only min, such as min: 99.9%")
        if ratio and self.min is not None and not 0 < self.min <= 1:
            raise ValueError(f"found min: {self.min:g}, expected a share above 0% and up to 100%")
        if ratio and self.reducer is not None:
            raise ValueError("found a reducer with good and total, expected it only with value")
        if not ratio and self.confidence is not None:
            raise ValueError("found a confidence with value, expected it only with good and total")
        if self.confidence is not None and self.min == 1:
            raise ValueError("found min: 100%, which no number of samples proves; set confidence: null to permit this")
        if not ratio and (self.min is None) == (self.max is None):
            raise ValueError("found both or neither of min and max with value, expected exactly one of them")
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
        # Each phase needs a number: one phase cannot make up for the missing data of another.
        for phase in phases or self.phases:
            found = [one for one in seen if isinstance(one.value, Mapping) and one.value.get("phase") == phase]
            parts.append(self._of_phase(phase, found[-1] if found else None, seen))
        # `combined` takes the numbers of the first decisive part, which should be the phase closest to its limit.
        closest_first = sorted(parts, key=lambda part: math.inf if part.margin is None else part.margin)
        return replace(combined(closest_first), samples=sum(part.samples for part in parts))

    def _of_phase(self, phase: str, seen: Observation | None, every: Sequence[Observation]) -> Finding:
        if seen is None:
            # A failure before the queries of single phases also explains why there is no number.
            errors = [one.error for one in every if one.error is not None and not isinstance(one.value, Mapping)]
            return self._missing(phase, errors[-1] if errors else "the query was not run")
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
            return self._missing(phase, f"{'good' if good is None else 'total'} is not a number")
        if total <= 0:
            return self._missing(phase, "total is 0, so there is no ratio")
        # Sums of the same series may differ in the last digits, depending on their order.
        good = total if math.isclose(good, total) else good
        if not 0 <= good <= total:
            return self._missing(
                phase, f"good ({good:g}) is not part of total ({total:g}): check that the two queries match"
            )
        if total < self.min_samples:
            return self._missing(phase, f"a total of {total:.0f}, at least {self.min_samples} required")
        return self._share(phase, good, total, _samples(value))

    def _share(self, phase: str, good: float, total: float, samples: int) -> Finding:
        share, limit = good / total, self.min or 0.0
        confidence = self.confidence or _CONFIDENCE
        # ``increase`` extrapolates to the ends of the window, so counts may be fractions, which Clopper–Pearson does
        # not allow.
        bounds = wilson(good, total, confidence)
        reason = f"{phase}: {show_share(share)} of {total:.0f} ({show_share(bounds.low)} to {show_share(bounds.high)}"
        reason += f" with {show_share(confidence)} confidence), at least {show_share(limit)} required"
        verdict = Verdict.HELD if share >= limit else Verdict.BROKEN
        if self.confidence is not None and bounds.low < limit <= bounds.high:
            verdict, reason = Verdict.INCONCLUSIVE, f"{reason}: too few to decide"
        return Finding.bounded(
            verdict,
            reason,
            share * 100,
            low=bounds.low * 100,
            high=bounds.high * 100,
            limit=limit * 100,
            unit="%",
            comparison=">=",
            samples=samples,
            detail={phase: f"{good:g} of {total:g}"},
        )

    def _value(self, phase: str, value: Mapping[str, Any]) -> Finding:
        values = self._values(value)
        if not values:
            return self._missing(phase, "the value is not a number")
        samples = len(values) if self.reducer else _samples(value)
        if samples < self.min_samples and self.min_samples > 1:
            return self._missing(phase, f"{samples} samples, at least {self.min_samples} required")
        seen = _REDUCERS[self.reducer](values) if self.reducer in _REDUCERS else _quantile(self.reducer, values)
        limit, comparison = (self.min, ">=") if self.min is not None else (self.max or 0.0, "<=")
        holds = seen >= limit if comparison == ">=" else seen <= limit
        requirement = f"at least {limit:g} required" if comparison == ">=" else f"at most {limit:g} allowed"
        how = f" ({self.reducer} of {len(values)} samples, {min(values):g} to {max(values):g})" if self.reducer else ""
        verdict = Verdict.HELD if holds else Verdict.BROKEN
        reason, detail = f"{phase}: {seen:g}{how}, {requirement}", {phase: f"{seen:g}{how}"}
        return Finding.exact(
            verdict, reason, seen, limit=limit, unit="", comparison=comparison, samples=samples, detail=detail
        )

    def _values(self, value: Mapping[str, Any]) -> list[float]:
        """Return the numbers to judge; empty if one of them is not a finite number."""
        given = value.get("values") if self.reducer else [value.get("value")]
        found = [_finite({"one": one}, "one") for one in given or ()]
        return [] if None in found else [one for one in found if one is not None]

    def _missing(self, phase: str, why: str) -> Finding:
        finding = inconclusive(f"{phase}: no data: {why}")
        return finding if self.no_data == "inconclusive" else replace(finding, verdict=Verdict.BROKEN)


def _finite(value: Mapping[str, Any], key: str) -> float | None:
    number = value.get(key)
    # In Python bool is a subclass of int, so true would pass as 1.
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return float(number)


def _quantile(reducer: str | None, values: Sequence[float]) -> float:
    return percentile(values, float(str(reducer).removeprefix("p")) / 100)


def _samples(value: Mapping[str, Any]) -> int:
    return int(value.get("samples") or 0)

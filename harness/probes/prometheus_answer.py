"""What Prometheus answers: numbers, read strictly, and the errors that stand for all that is none.

::

    PrometheusError
    ├── PrometheusUnreachable  it does not answer, or what answers is no Prometheus
    │   └── PrometheusAway     for now: the connection failed, or it answered with a 5xx; asked again
    ├── QueryRefused           it answered, and the answer is no: a mistake in the query, for instance
    ├── NoData                 the query is fine and selects nothing
    ├── NotANumber             NaN or infinite: a ratio whose total is zero, for instance
    └── Ambiguous              several series where one was meant
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError
from harness.quantities import parse_duration


class PrometheusError(HarnessError):
    """Prometheus gave no number that can be judged."""


class PrometheusUnreachable(PrometheusError):
    """It does not answer, or what answers is no Prometheus."""


class PrometheusAway(PrometheusUnreachable):
    """It does not answer for now."""

    @property
    def retryable(self) -> bool:
        return True


class QueryRefused(PrometheusError):
    """It answered, and the answer is no."""


class NoData(PrometheusError):
    """The query selects nothing."""


class NotANumber(PrometheusError):
    """The value is NaN or infinite."""


class Ambiguous(PrometheusError):
    """Several series where one was meant."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series; ``at`` is Unix seconds by Prometheus' clock."""

    labels: Mapping[str, str]
    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Number:
    """A single finite value. ``samples`` is how many raw samples the query read, None when the server does not say;
    ``warnings`` say why the value may be wrong, ``notes`` are mere hints; both are the server's own."""

    value: float
    samples: int | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def instants(result: Sequence[Any]) -> list[Sample]:
    """The samples of an instant query's result; a scalar has no labels. Raises NotANumber for what holds none."""
    if result and not isinstance(result[0], dict):
        return [_sample({}, result)]
    return [_sample(series["metric"], _numbers(series, "value")) for series in result]


def ranges(result: Sequence[Any]) -> list[Sample]:
    """The samples of a range query's result. Raises NotANumber for what holds none."""
    return [_sample(series["metric"], pair) for series in result for pair in _numbers(series, "values")]


def intervals(found: Mapping[str, Any]) -> list[tuple[Mapping[str, str], float]]:
    """The labels of every target, and the seconds between two of its scrapes."""
    return [
        (target.get("labels", {}), seconds_of(target["scrapeInterval"]))
        for target in found["activeTargets"]
        if "scrapeInterval" in target
    ]


def named(data: object) -> Mapping[str, Any]:
    """Data with names. Raises TypeError for any other."""
    if not isinstance(data, dict):
        raise TypeError(f"found {type(data).__name__}, expected a mapping")
    return data


def seconds_of(text: object) -> float:
    """The length of a scrape interval."""
    try:
        return float(str(parse_duration(text)))
    except ValueError as error:
        raise QueryRefused(f"the scrape interval cannot be read: {error}") from error


def _numbers(series: Mapping[str, Any], key: str) -> Sequence[Any]:
    # A native histogram comes as "histogram" or "histograms", alone or beside numbers; a bare range as "values".
    if key not in series or any(other.startswith("histogram") for other in series):
        found = "a native histogram" if any(other.startswith("histogram") for other in series) else "no single value"
        raise NotANumber(f"found {found} where a number was meant: {dict(series['metric'])}")
    numbers: Sequence[Any] = series[key]
    return numbers


def _sample(labels: Mapping[str, str], pair: Sequence[Any]) -> Sample:
    try:
        # float() reads "NaN" and "+Inf" as Prometheus writes them.
        return Sample(labels, float(pair[0]), float(pair[1]))
    except ValueError:
        raise NotANumber(f"found the text {str(pair[1])[:80]!r} where a number was meant") from None

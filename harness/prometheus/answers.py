"""Parse Prometheus' responses strictly, with an error for everything that is not a number.

::

    PrometheusError
    ├── PrometheusUnreachable  it does not answer, or the response is not Prometheus'
    │   └── PrometheusAway     temporary: the connection failed, or the status is 5xx; retried
    ├── QueryRefused           it rejected the request, for example because of a mistake in the query
    ├── NoData                 the query is valid but selects nothing
    ├── NotANumber             NaN or infinite, for example a ratio with a total of zero
    └── Ambiguous              several series instead of one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.common.errors import HarnessError
from harness.model.quantities import parse_duration


class PrometheusError(HarnessError):
    """Prometheus returned no number that can be judged."""


class PrometheusUnreachable(PrometheusError):
    """Prometheus does not answer, or the response is not Prometheus'."""


class PrometheusAway(PrometheusUnreachable):
    """Prometheus is temporarily unavailable."""

    @property
    def retryable(self) -> bool:
        return True


class QueryRefused(PrometheusError):
    """Prometheus rejected the request."""


class NoData(PrometheusError):
    """The query selects nothing."""


class NotANumber(PrometheusError):
    """The value is NaN or infinite."""


class Ambiguous(PrometheusError):
    """The query selects several series instead of one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one series. ``at`` is in Unix seconds by Prometheus' clock."""

    labels: Mapping[str, str]
    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Number:
    """A single finite value.

    ``samples`` is the number of raw samples that the query read, None if the server does not report it. ``warnings``
    are the server's reasons why the value may be wrong, ``notes`` its hints.
    """

    value: float
    samples: int | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A target that Prometheus scrapes. ``error`` is why its last scrape failed; empty otherwise."""

    labels: Mapping[str, str]
    error: str = ""


def instants(result: Sequence[Any]) -> list[Sample]:
    """Return the samples of an instant query's result; a scalar has no labels. Raises NotANumber."""
    # The result of a scalar is one pair of time and value instead of a list of series.
    if result and not isinstance(result[0], dict):
        return [_sample({}, result)]
    return [_sample(series["metric"], _numbers(series, "value")) for series in result]


def ranges(result: Sequence[Any]) -> list[Sample]:
    """Return the samples of a range query's result. Raises NotANumber."""
    return [_sample(series["metric"], pair) for series in result for pair in _numbers(series, "values")]


def intervals(found: Mapping[str, Any]) -> list[tuple[Mapping[str, str], float]]:
    """Return the labels and the scrape interval in seconds of every target."""
    return [
        (target.get("labels", {}), seconds_of(target["scrapeInterval"]))
        for target in found["activeTargets"]
        if "scrapeInterval" in target
    ]


def targets(found: Mapping[str, Any]) -> list[Target]:
    """Return every active target of a response."""
    return [Target(each.get("labels", {}), str(each.get("lastError") or "")) for each in found["activeTargets"]]


def named(data: object) -> Mapping[str, Any]:
    """Return a mapping unchanged. Raises TypeError for any other value."""
    if not isinstance(data, dict):
        raise TypeError(f"found {type(data).__name__}, expected a mapping")
    return data


def seconds_of(text: object) -> float:
    """Return the length of a scrape interval in seconds. Raises QueryRefused if it is not a duration."""
    try:
        return float(str(parse_duration(text)))
    except ValueError as error:
        raise QueryRefused(f"the scrape interval is invalid: {error}") from error


def _numbers(series: Mapping[str, Any], key: str) -> Sequence[Any]:
    # Native histograms are in "histogram" or "histograms", with or without numbers. A bare range selector has "values".
    if key not in series or any(other.startswith("histogram") for other in series):
        found = "a native histogram" if any(other.startswith("histogram") for other in series) else "no single value"
        raise NotANumber(f"found {found}, expected a number: {dict(series['metric'])}")
    numbers: Sequence[Any] = series[key]
    return numbers


def _sample(labels: Mapping[str, str], pair: Sequence[Any]) -> Sample:
    try:
        # float() accepts "NaN" and "+Inf" as Prometheus writes them.
        return Sample(labels, float(pair[0]), float(pair[1]))
    except ValueError:
        raise NotANumber(f"found the text {str(pair[1])[:80]!r}, expected a number") from None


def escape(value: str) -> str:
    """Escape a label value for use within double quotes in a query."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

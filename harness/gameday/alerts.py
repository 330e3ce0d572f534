"""Alerts of Prometheus: which fire now, and when one fired and was resolved."""

from __future__ import annotations

from dataclasses import dataclass

from harness.prometheus.client import Prometheus, PrometheusError, escape

# Prometheus refuses more than 11,000 points of a series.
_MOST_POINTS = 5000
_FINEST = 1.0


@dataclass(frozen=True, slots=True)
class AlertTimes:
    """When an alert fired and was resolved, in Unix seconds; None: it did not, or it is unknown because of ``error``.

    ``before``: it was firing already at the start of the time that was read, so it shows nothing.
    """

    name: str
    fired: float | None = None
    resolved: float | None = None
    before: bool = False
    error: str = ""


def firing(name: str) -> str:
    """Return the query that counts the firing instances of an alert; it selects nothing if none fires."""
    return f'count(ALERTS{{alertname="{escape(name)}",alertstate="firing"}})'


def alert_times(prometheus: Prometheus, name: str, since: float, until: float) -> AlertTimes:
    """Return when an alert first fired between two times in Unix seconds, and when it was resolved after that."""
    step = max(_FINEST, (until - since) / _MOST_POINTS)
    try:
        samples = prometheus.range(firing(name), since, until, step)
    except PrometheusError as error:
        return AlertTimes(name, error=str(error))
    if not samples:
        return AlertTimes(name)
    if samples[0].at < since + step / 2:
        return AlertTimes(name, before=True)
    last = samples[0].at
    for sample in samples[1:]:
        if sample.at > last + 1.5 * step:
            break
        last = sample.at
    resolved = last + step
    return AlertTimes(name, samples[0].at, resolved if resolved <= until else None)

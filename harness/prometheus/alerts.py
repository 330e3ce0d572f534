"""Alerts as the HTTP APIs of Prometheus (``/api/v1/rules``) and Alertmanager (``/api/v2/alerts``) return them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.common.clock import parse_kubernetes_time


@dataclass(frozen=True, slots=True)
class RuleAlert:
    """An alert of a rule: ``pending`` or ``firing``. ``since`` is when its expression became true, in Unix seconds."""

    labels: Mapping[str, str]
    state: str
    since: float | None


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """An alerting rule. ``interval`` and ``lasting`` (its ``for``) are in seconds.

    ``evaluated`` is the last evaluation in Unix seconds, 0 before the first one. ``error`` is why that failed.
    """

    name: str
    interval: float
    lasting: float
    evaluated: float
    error: str
    alerts: tuple[RuleAlert, ...]


@dataclass(frozen=True, slots=True)
class ReceivedAlert:
    """An alert that Alertmanager received: ``active``, ``suppressed`` or ``unprocessed``.

    ``silenced`` has the silences that suppress it, ``inhibited`` the alerts that do.
    """

    labels: Mapping[str, str]
    state: str
    silenced: tuple[str, ...]
    inhibited: tuple[str, ...]
    receivers: tuple[str, ...]


def alerting_rules(data: Mapping[str, Any]) -> list[AlertingRule]:
    """Return the alerting rules of ``/api/v1/rules``. Raises LookupError, TypeError or ValueError for other data."""
    return [
        AlertingRule(
            name=str(rule["name"]),
            interval=float(group.get("interval") or 0),
            lasting=float(rule.get("duration") or 0),
            # A rule that was never evaluated has the health "unknown" and a time in the year 1.
            evaluated=max(0.0, _time(rule.get("lastEvaluation")) or 0.0),
            error=str(rule.get("lastError") or ""),
            alerts=tuple(
                RuleAlert(dict(alert["labels"]), str(alert["state"]), _time(alert.get("activeAt")))
                for alert in rule.get("alerts") or ()
            ),
        )
        for group in data["groups"]
        for rule in group["rules"]
        if rule["type"] == "alerting"
    ]


def received_alerts(answer: Sequence[Mapping[str, Any]]) -> list[ReceivedAlert]:
    """Return the alerts of ``/api/v2/alerts``. Raises LookupError, TypeError or ValueError for other data."""
    return [
        ReceivedAlert(
            labels=dict(alert["labels"]),
            state=str(alert["status"]["state"]),
            silenced=tuple(alert["status"].get("silencedBy") or ()),
            inhibited=tuple(alert["status"].get("inhibitedBy") or ()),
            receivers=tuple(str(receiver["name"]) for receiver in alert.get("receivers") or ()),
        )
        for alert in answer
    ]


def _time(text: object) -> float | None:
    return parse_kubernetes_time(str(text)) if text else None

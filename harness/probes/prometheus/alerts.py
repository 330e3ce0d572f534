"""Look at an alert in Prometheus (pending, firing) and in Alertmanager (active, silenced, inhibited), again and again.

Prometheus is asked for its rules, which include their alerts: unlike ``/api/v1/alerts``, they show that the rule exists
and when it was last evaluated, so that silence can be distinguished from a rule that is not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.common.errors import HarnessError
from harness.model.timeline import Observation
from harness.objectives._alerts import ALERTMANAGER, PROMETHEUS
from harness.probes.base import ProbeContext, SnapshotProbe
from harness.prometheus.answers import PrometheusError

if TYPE_CHECKING:
    # Not imported at run time: they load an HTTP client, which commands without a cluster do not need.
    from harness.prometheus.alertmanager import Alertmanager
    from harness.prometheus.client import Prometheus

_KNOWN_SHOWN = 8


@dataclass(frozen=True, slots=True)
class WantedAlert:
    """The alert to look at: the title of its objective, its name, and the labels that it must have."""

    title: str
    name: str
    labels: Mapping[str, str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether an alert of this name has the labels."""
        return all(labels.get(name) == value for name, value in self.labels.items())


class AlertProbe(SnapshotProbe):
    """Series ``alerts`` and ``alertmanager``, subject ``<title of the objective>``, one observation per look.

    ``alerts``: {"asked", "scrape", "rules": [{"interval", "for", "evaluated", "error"}], "alerts": [{"labels", "state",
    "since", "matches"}]}; without a rule of the name also "known" (names of other rules); while the alert is firing
    also "sends" (the URLs of the Alertmanagers that Prometheus sends to). ``alertmanager``: {"asked", "alerts":
    [{"labels", "state", "silenced", "inhibited", "receivers", "matches"}]}. "asked" is when the request began, in
    seconds on the timeline; "scrape", "interval" and "for" are in seconds, "evaluated" and "since" in Unix seconds by
    Prometheus' clock.
    """

    def __init__(self, wanted: WantedAlert, prometheus: Prometheus, alertmanager: Alertmanager | None) -> None:
        self._wanted, self._prometheus, self._alertmanager = wanted, prometheus, alertmanager
        self._scrape: float | None = None
        self._sends: list[str] | None = None

    def look(self, context: ProbeContext) -> None:
        """Ask both servers once. Failures become observations with ``error``."""
        for seen in self.observations(context):
            context.timeline.add(seen)

    def observations(self, context: ProbeContext) -> Iterator[Observation]:
        """Ask both servers once, and yield what is to be added to the timeline."""
        yield self._observed(context, PROMETHEUS, self._in_prometheus)
        if self._alertmanager is not None:
            yield self._observed(context, ALERTMANAGER, self._in_alertmanager)

    def close(self) -> None:
        """Close the connections."""
        self._prometheus.close()
        if self._alertmanager is not None:
            self._alertmanager.close()

    def _observed(self, context: ProbeContext, series: str, ask: Callable[[str], dict[str, Any]]) -> Observation:
        timeline, clock = context.timeline, context.clock
        asked = timeline.offset(clock.monotonic())
        value, error = None, None
        try:
            value = {"asked": asked, **ask(context.namespace)}
        except Exception as failure:  # noqa: BLE001 - any error is recorded: it ends the look, not the thread
            error = str(failure) if isinstance(failure, HarnessError) else f"{type(failure).__name__}: {failure}"
        return Observation(series, self._wanted.title, timeline.offset(clock.monotonic()), value, error)

    def _in_prometheus(self, namespace: str) -> dict[str, Any]:
        if self._scrape is None:
            self._scrape = self._prometheus.scrape_interval(namespace)
        every = self._prometheus.alerting_rules()
        rules = [rule for rule in every if rule.name == self._wanted.name]
        alerts = [alert for rule in rules for alert in rule.alerts]
        value: dict[str, Any] = {
            "scrape": self._scrape,
            "rules": [
                {"interval": rule.interval, "for": rule.lasting, "evaluated": rule.evaluated, "error": rule.error}
                for rule in rules
            ],
            "alerts": [
                {
                    "labels": dict(alert.labels),
                    "state": alert.state,
                    "since": alert.since,
                    "matches": self._wanted.matches(alert.labels),
                }
                for alert in alerts
            ],
        }
        if not rules:
            value["known"] = sorted({rule.name for rule in every})[:_KNOWN_SHOWN]
        if self._alertmanager is not None and any(alert.state == "firing" for alert in alerts):
            value |= self._sent()
        return value

    def _sent(self) -> dict[str, Any]:
        """Return where Prometheus sends alerts, for explanations: asked once, since not every server has this page."""
        if self._sends is None:
            with suppress(PrometheusError):
                self._sends = self._prometheus.alertmanagers()
        return {} if self._sends is None else {"sends": self._sends}

    def _in_alertmanager(self, _namespace: str) -> dict[str, Any]:
        found = self._alertmanager.alerts() if self._alertmanager else []
        return {
            "alerts": [
                {
                    "labels": dict(alert.labels),
                    "state": alert.state,
                    "silenced": list(alert.silenced),
                    "inhibited": list(alert.inhibited),
                    "receivers": list(alert.receivers),
                    "matches": self._wanted.matches(alert.labels),
                }
                for alert in found
                if alert.labels.get("alertname") == self._wanted.name
            ]
        }

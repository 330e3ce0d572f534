"""Look at the alerts of the objectives during an experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.cluster.kube.permissions import Permission
from harness.common.errors import ApiError, Inconclusive
from harness.engine.steps.polling import Polled, Polling
from harness.engine.steps.run import Run
from harness.model.timeline import Timeline
from harness.objectives.alert import Alert
from harness.objectives.base import Objective
from harness.probes.prometheus.alerts import AlertProbe, WantedAlert
from harness.prometheus.alertmanager import Alertmanager
from harness.prometheus.discovery import OWN_PERMISSIONS, alertmanager_for, own_alertmanager, own_prometheus

EVERY = 0.5


def needed_for(objectives: Iterable[Objective]) -> frozenset[Permission]:
    """Return the permissions to reach the workload's own Prometheus and Alertmanager, if an objective names them."""
    own = any(isinstance(each, Alert) and (each.prometheus or each.own_alertmanager) for each in objectives)
    return OWN_PERMISSIONS if own else frozenset()


def lacking(run: Run, objectives: Iterable[Objective]) -> Iterator[str]:
    """Yield one text for each server that the alerts need and that the cluster does not have. Raises ApiError."""
    alerts = [each for each in objectives if isinstance(each, Alert)]
    if run.prometheus is None:
        yield from (f"no Prometheus found, needed for {each.title}" for each in alerts if not each.prometheus)
    wanting = [each for each in alerts if each.asks_alertmanager and not each.own_alertmanager]
    if not wanting:
        return
    found = alertmanager_for(run.cluster, run.alertmanager_url)
    if found is None:
        yield (
            f"no Alertmanager found, needed for {wanting[0].title}: set --alertmanager-url, name the workload's own "
            "(alertmanager: service/NAME), or set alertmanager: none"
        )
        return
    # One that was found has answered already.
    why = found.ready() if run.alertmanager_url else None
    found.close()
    if why:
        yield f"--alertmanager-url: {why}"


class AlertWatch(Polling):
    """Looks at every alert twice a second while the context is active, with separate connections."""

    def __init__(self, run: Run, namespace: str, timeline: Timeline, objectives: Iterable[Objective]) -> None:
        super().__init__(run, namespace, timeline, name="alerts", every=EVERY)
        self._alerts = [each for each in objectives if isinstance(each, Alert)]

    def probes(self) -> Sequence[Polled]:
        """Connect to the servers of each alert. Raises Inconclusive if a Service does not exist, ApiError."""
        return [self._probe(alert) for alert in self._alerts]

    def _probe(self, alert: Alert) -> AlertProbe:
        run, namespace = self._run, self._context.namespace
        try:
            if alert.prometheus:
                prometheus = own_prometheus(run.cluster, namespace, alert.prometheus)
            elif run.prometheus:
                prometheus = run.prometheus.clone()
            else:
                raise Inconclusive(f"no Prometheus found, needed for {alert.title}")
            return AlertProbe(_wanted(alert, namespace), prometheus, self._alertmanager(alert))
        except ApiError as error:
            if error.not_found:
                raise Inconclusive(f"{alert.title}: {error}") from error
            raise

    def _alertmanager(self, alert: Alert) -> Alertmanager | None:
        if not alert.asks_alertmanager:
            return None
        if alert.own_alertmanager:
            return own_alertmanager(self._run.cluster, self._context.namespace, alert.own_alertmanager)
        found = alertmanager_for(self._run.cluster, self._run.alertmanager_url)
        if found is None:
            raise Inconclusive(f"no Alertmanager found, needed for {alert.title}")
        return found


def _wanted(alert: Alert, namespace: str) -> WantedAlert:
    labels = {name: value.replace("$namespace", namespace) for name, value in alert.labels.items()}
    return WantedAlert(alert.title, alert.name, labels)

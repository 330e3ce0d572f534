"""Look at the alerts of the objectives during an experiment, in a thread because a response may be slow."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from harness.cluster.kube.permissions import Permission
from harness.common.errors import ApiError, Inconclusive
from harness.engine.steps.run import Run
from harness.model.timeline import Timeline
from harness.objectives.alert import Alert
from harness.objectives.base import Objective
from harness.probes.base import ProbeContext
from harness.probes.prometheus.alerts import AlertProbe, WantedAlert
from harness.prometheus.alertmanager import Alertmanager
from harness.prometheus.discovery import OWN_PERMISSIONS, alertmanager_for, own_alertmanager, own_prometheus

EVERY = 0.5
STOP_WITHIN = 2.0


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


class AlertWatch:
    """Looks at every alert twice a second while the context is active, with separate connections."""

    def __init__(self, run: Run, namespace: str, timeline: Timeline, objectives: Iterable[Objective]) -> None:
        self._run, self._context = run, ProbeContext(run.cluster, namespace, timeline, run.clock)
        self._alerts = [each for each in objectives if isinstance(each, Alert)]
        self._probes: list[AlertProbe] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="alerts", daemon=True)

    def __enter__(self) -> Self:
        """Connect to the servers and start. Raises Inconclusive if a Service does not exist, ApiError."""
        self._probes = [self._probe(alert) for alert in self._alerts]
        if self._probes:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Add nothing to the timeline any more. Takes at most STOP_WITHIN seconds."""
        self._stop.set()
        if self._thread.is_alive():
            # A thread that is still in a request ends with it; its late result is dropped.
            self._thread.join(STOP_WITHIN)

    def look(self) -> None:
        """Look at every alert once and add the results to the timeline."""
        for probe in self._probes:
            for seen in probe.observations(self._context):
                if self._stop.is_set():
                    return
                self._context.timeline.add(seen)

    def _loop(self) -> None:
        try:
            while not self._stop.is_set():
                self.look()
                self._run.clock.wait(self._stop, EVERY)
        finally:
            for probe in self._probes:
                probe.close()

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

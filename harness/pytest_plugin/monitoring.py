"""The Prometheus of a session, and what is installed on an owned cluster that lacks it."""

from __future__ import annotations

from functools import partial

from harness.cluster.addons.install import install
from harness.cluster.kube.ownership import Ownership
from harness.cluster.protocol import Capability, Cluster
from harness.common.clock import Clock
from harness.common.progress import Progress
from harness.common.waiting import wait_until
from harness.engine.settings import Settings
from harness.prometheus.client import Prometheus, PrometheusError
from harness.prometheus.discovery import prometheus_for

PROMETHEUS_SECONDS = 30.0


def monitoring(cluster: Cluster, settings: Settings, clock: Clock, progress: Progress) -> Prometheus | None:
    """Return the cluster's Prometheus; on an owned cluster, install Prometheus and metrics-server if missing."""
    found = prometheus_for(cluster, settings.prometheus_url, settings.prometheus_access)
    if settings.user:
        # --cluster-as impersonates an identity with few permissions, which must not install anything.
        return found
    wanted = ["metrics-server"] if Capability.METRICS_SERVER not in cluster.capabilities() else []
    wanted += ["prometheus"] if found is None else []
    if cluster.ownership is Ownership.FOREIGN:
        if wanted:
            progress(f"{cluster.context} is a foreign cluster, continuing without {' and '.join(wanted)}")
        return found
    installed = install(cluster, wanted, clock, progress)
    if "prometheus" in installed and (found := prometheus_for(cluster)) is not None:
        # Its pod becomes ready before kube-proxy has programmed the port on every node.
        wait_until("Prometheus to answer", partial(_answers, found), PROMETHEUS_SECONDS, clock)
    return found


def _answers(prometheus: Prometheus) -> tuple[float | None, str]:
    try:
        return prometheus.scrape_interval(), ""
    except PrometheusError as error:
        return None, str(error)

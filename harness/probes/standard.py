"""The watch probes of every run."""

from __future__ import annotations

from harness.cluster.kube.resources import WORKLOADS
from harness.probes.autoscalers import AutoscalerProbe
from harness.probes.base import WatchProbe
from harness.probes.endpoints import EndpointProbe
from harness.probes.events import EventProbe
from harness.probes.nodes import NodeProbe
from harness.probes.pods import PodProbe
from harness.probes.workloads import WorkloadProbe


def standard_probes() -> list[WatchProbe]:
    """Return new instances of the watch probes for one run."""
    return [
        PodProbe(),
        EndpointProbe(),
        *(WorkloadProbe(resource) for resource in WORKLOADS.values()),
        AutoscalerProbe(),
        EventProbe(),
        NodeProbe(),
    ]

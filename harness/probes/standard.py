"""The watch probes of every run."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import BUILT_IN_WORKLOADS, ROLLOUTS
from harness.probes.autoscalers import AutoscalerProbe
from harness.probes.base import WatchProbe
from harness.probes.endpoints import EndpointProbe
from harness.probes.events import EventProbe
from harness.probes.nodes import NodeProbe
from harness.probes.pods import PodProbe
from harness.probes.workloads import WorkloadProbe


def standard_probes(objects: Iterable[Object] = ()) -> list[WatchProbe]:
    """Return new instances of the watch probes for one run of a workload with these objects."""
    # Most clusters do not serve Rollouts, and a watch of what is not served fails.
    others = [ROLLOUTS] if any(item["kind"] == ROLLOUTS.kind for item in objects) else []
    return [
        PodProbe(),
        EndpointProbe(),
        *(WorkloadProbe(resource) for resource in (*BUILT_IN_WORKLOADS.values(), *others)),
        AutoscalerProbe(),
        EventProbe(),
        NodeProbe(),
    ]

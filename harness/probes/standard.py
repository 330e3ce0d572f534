"""The watch probes of every run."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import BUILT_IN_WORKLOADS, ROLLOUTS, VERTICAL_AUTOSCALERS, VOLUME_CLAIMS
from harness.probes.autoscalers import AutoscalerProbe
from harness.probes.base import WatchProbe
from harness.probes.claims import ClaimProbe
from harness.probes.endpoints import EndpointProbe
from harness.probes.events import EventProbe
from harness.probes.nodes import NodeProbe
from harness.probes.pods import PodProbe
from harness.probes.vertical_autoscalers import VerticalAutoscalerProbe
from harness.probes.workloads import WorkloadProbe


def standard_probes(objects: Iterable[Object] = ()) -> list[WatchProbe]:
    """Return new instances of the watch probes for one run of a workload with these objects."""
    # Most clusters do not serve these kinds, and a watch of what is not served fails.
    objects = list(objects)
    kinds = {item["kind"] for item in objects}
    others = [ROLLOUTS] if ROLLOUTS.kind in kinds else []
    vertical = [VerticalAutoscalerProbe()] if VERTICAL_AUTOSCALERS.kind in kinds else []
    # The permission to watch them is asked for only where there are some.
    claims = [ClaimProbe()] if any(map(_has_claims, objects)) else []
    return [
        PodProbe(),
        EndpointProbe(),
        *(WorkloadProbe(resource) for resource in (*BUILT_IN_WORKLOADS.values(), *others)),
        AutoscalerProbe(),
        *vertical,
        *claims,
        EventProbe(),
        NodeProbe(),
    ]


def _has_claims(item: Object) -> bool:
    return item["kind"] == VOLUME_CLAIMS.kind or bool((item.get("spec") or {}).get("volumeClaimTemplates"))

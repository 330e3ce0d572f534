"""Horizontal pod autoscalers: their replica counts, metrics and conditions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.quantities import amount_of
from harness.cluster.kube.resources import AUTOSCALERS
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import conditions, moment


class AutoscalerProbe(WatchProbe):
    """Series ``autoscalers``, subject ``hpa/<name>``.

    ``metrics`` holds the current values: percent of the resource requests if the target is a utilization, otherwise in
    the metric's own unit. A metric that cannot be read is left out. A count that the controller has not written yet is
    None. ``wall`` is the last time the autoscaler scaled.
    """

    series = "autoscalers"
    resource = AUTOSCALERS

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        spec, status = item.get("spec", {}), item.get("status", {})
        # The API omits both zeros and counts that were never written. The controller's first update sets conditions,
        # so with conditions a missing count is zero.
        absent = 0 if status.get("conditions") else None
        value = {
            "event": event,
            "current": status.get("currentReplicas", absent),
            "desired": status.get("desiredReplicas", absent),
            "min": spec.get("minReplicas", 1),
            "max": spec.get("maxReplicas", 0),
            "metrics": dict(_metrics(status.get("currentMetrics") or ())),
            "conditions": conditions(item),
        }
        yield Sighting(f"hpa/{item['metadata']['name']}", value, moment(status.get("lastScaleTime")))


def _metrics(current: Iterable[dict[str, Any]]) -> Iterable[tuple[str, float]]:
    for metric in current:
        # Each type has a field named after it: Resource → resource, ContainerResource → containerResource.
        kind = str(metric.get("type", ""))
        source = metric.get(kind[:1].lower() + kind[1:]) or {}
        name = source.get("name") or (source.get("metric") or {}).get("name")
        values = source.get("current") or {}
        if not name or not values:
            continue
        # The same resource of several containers has one name.
        if source.get("container"):
            name = f"{source['container']}/{name}"
        if "averageUtilization" in values:
            yield str(name), float(values["averageUtilization"])
        elif amount := values.get("averageValue") or values.get("value"):
            yield str(name), amount_of(amount)

"""Horizontal pod autoscalers: what they see, what they want, and why not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from harness.cluster.api import Object
from harness.cluster.resources import AUTOSCALERS
from harness.probe import Sighting, WatchProbe
from harness.probes.conditions import conditions, moment


class AutoscalerProbe(WatchProbe):
    """Series ``autoscalers``, subject ``hpa/<name>``. ``metrics`` holds the current values: percent of the requests
    where the target is a utilisation, else the metric's own unit. A metric that cannot be read is not in it. ``wall``
    is the last time it scaled."""

    series = "autoscalers"
    resource = AUTOSCALERS

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        spec, status = item.get("spec", {}), item.get("status", {})
        value = {
            "event": event,
            "current": status.get("currentReplicas", 0),
            "desired": status.get("desiredReplicas", 0),
            "min": spec.get("minReplicas", 1),
            "max": spec.get("maxReplicas", 0),
            "metrics": dict(_metrics(status.get("currentMetrics") or ())),
            "conditions": conditions(item),
        }
        yield Sighting(f"hpa/{item['metadata']['name']}", value, moment(status.get("lastScaleTime")))


def _metrics(current: Iterable[dict[str, Any]]) -> Iterable[tuple[str, float]]:
    for metric in current:
        # One field a type, named after it: Resource → resource, ContainerResource → containerResource.
        kind = str(metric.get("type", ""))
        source = metric.get(kind[:1].lower() + kind[1:]) or {}
        name = source.get("name") or (source.get("metric") or {}).get("name")
        values = source.get("current") or {}
        if not name or not values:
            continue
        if source.get("container"):
            name = f"{source['container']}/{name}"
        if "averageUtilization" in values:
            yield str(name), float(values["averageUtilization"])
        elif amount := values.get("averageValue") or values.get("value"):
            yield str(name), float(parse_quantity(amount))

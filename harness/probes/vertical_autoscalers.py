"""Vertical pod autoscalers: what they recommend for each container."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import VERTICAL_AUTOSCALERS
from harness.model.amounts import amounts_of
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import conditions

# Before it has a recommendation, an autoscaler has none of these.
_AMOUNTS = {"target": "target", "lower": "lowerBound", "upper": "upperBound", "uncapped": "uncappedTarget"}


class VerticalAutoscalerProbe(WatchProbe):
    """Series ``recommendations``, subject ``vpa/<name>``. Without a recommendation ``containers`` is empty."""

    series = "recommendations"
    resource = VERTICAL_AUTOSCALERS

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        spec, status = item.get("spec", {}), item.get("status") or {}
        known = (status.get("recommendation") or {}).get("containerRecommendations") or ()
        value: dict[str, Any] = {
            "event": event,
            # The default of the API.
            "mode": (spec.get("updatePolicy") or {}).get("updateMode", "Auto"),
            "containers": {
                each["containerName"]: {name: amounts_of(each.get(field)) for name, field in _AMOUNTS.items()}
                for each in known
            },
            "conditions": conditions({"status": status}),
        }
        yield Sighting(f"vpa/{item['metadata']['name']}", value)

"""Endpoints: the pods that a Service sends traffic to, merged from all of its EndpointSlices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.reflector import DELETED
from harness.cluster.kube.resources import ENDPOINT_SLICES
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import moment

SERVICE_LABEL = "kubernetes.io/service-name"
# The annotation with the time of the pod or Service change that made the controller update the slice.
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"


class EndpointProbe(WatchProbe):
    """Series ``endpoints``, subject ``<service>``: the sorted UIDs of its pods, each once.

    A Service may have several slices, since a slice has one address family and at most a hundred endpoints. An endpoint
    that is not a pod is identified by its address. A sighting is added when the value changes; a Service without slices
    has "gone".
    """

    series = "endpoints"
    resource = ENDPOINT_SLICES

    def __init__(self) -> None:
        self._slices: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
        self._last: dict[str, dict[str, Any]] = {}

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        meta = item["metadata"]
        service = (meta.get("labels") or {}).get(SERVICE_LABEL)
        if not service:
            return
        slices = self._slices[service]
        if event == DELETED:
            slices.pop(meta["name"], None)
        else:
            slices[meta["name"]] = list(item.get("endpoints") or ())
        value: dict[str, Any] = _aggregate(endpoint for endpoints in slices.values() for endpoint in endpoints)
        if not slices:
            value["gone"] = True
        if self._last.get(service) != value:
            self._last[service] = value
            yield Sighting(service, value, moment((meta.get("annotations") or {}).get(TRIGGERED)))


def _aggregate(endpoints: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {"ready": set(), "serving": set(), "all": set()}
    for endpoint in endpoints:
        conditions = endpoint.get("conditions") or {}
        # The API defines a missing "ready" as true, and a missing "serving" as equal to "ready".
        ready = conditions.get("ready") is not False
        serving = conditions.get("serving")
        names = _names(endpoint)
        found["all"] |= names
        found["ready"] |= names if ready else set()
        found["serving"] |= names if (ready if serving is None else serving) else set()
    return {key: sorted(names) for key, names in found.items()}


def _names(endpoint: dict[str, Any]) -> set[str]:
    target = (endpoint.get("targetRef") or {}).get("uid")
    return {str(target)} if target else {str(address) for address in endpoint.get("addresses") or ()}

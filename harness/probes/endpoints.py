"""Endpoints: which pods a Service sends traffic to, put together from all of its EndpointSlices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from harness.cluster.api import Object
from harness.cluster.resources import ENDPOINT_SLICES
from harness.probe import Sighting, WatchProbe
from harness.probes.conditions import moment
from harness.reflector import DELETED

SERVICE_LABEL = "kubernetes.io/service-name"
# When the pod or Service changed that made the controller write this slice, in the controller's own words.
TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"


class EndpointProbe(WatchProbe):
    """Series ``endpoints``, subject ``<service>``: the UIDs of its pods, sorted, once each, however many slices
    there are (a slice holds one address family and at most a hundred endpoints). An endpoint that is no pod goes by its
    address. Written when it changes."""

    series = "endpoints"
    resource = ENDPOINT_SLICES

    def __init__(self) -> None:
        self._slices: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
        self._last: dict[str, dict[str, list[str]]] = {}

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
        value = _aggregate(endpoint for endpoints in slices.values() for endpoint in endpoints)
        if self._last.get(service) != value:
            self._last[service] = value
            yield Sighting(service, value, moment((meta.get("annotations") or {}).get(TRIGGERED)))


def _aggregate(endpoints: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {"ready": set(), "serving": set(), "all": set()}
    for endpoint in endpoints:
        conditions = endpoint.get("conditions") or {}
        # The API: an absent "ready" is to be read as true, an absent "serving" as "ready".
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

"""Events: what the cluster's components say happened (core/v1, which shows those of events.k8s.io too)."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.api import Object
from harness.cluster.resources import EVENTS
from harness.probe import Sighting, WatchProbe
from harness.probes.conditions import moment
from harness.reflector import DELETED, SYNC


class EventProbe(WatchProbe):
    """Series ``events``, subject ``<kind>/<name>`` of what the event is about. Those from before the watch are left
    out, and so is their end: an event that expires says nothing. ``wall`` is when its author last saw it."""

    series = "events"
    resource = EVENTS

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        if event in {SYNC, DELETED}:
            return
        about = item.get("involvedObject", {})
        repeated = item.get("series") or {}
        value = {
            "reason": item.get("reason") or "",
            "message": (item.get("message") or "").strip(),
            "type": item.get("type") or "",
            "count": repeated.get("count") or item.get("count") or 1,
        }
        yield Sighting(f"{about.get('kind', '').lower()}/{about.get('name', '')}", value, event_time(item))


def event_time(item: Object) -> float | None:
    """When it was last seen, in Unix seconds. Two generations of writers fill in different fields."""
    repeated = item.get("series") or {}
    stamps = (
        repeated.get("lastObservedTime"),
        item.get("lastTimestamp"),
        item.get("eventTime"),
        item.get("firstTimestamp"),
        item["metadata"].get("creationTimestamp"),
    )
    return moment(next((stamp for stamp in stamps if stamp), None))

"""Kubernetes Events, read from core/v1, which also contains those of events.k8s.io."""

from __future__ import annotations

from collections.abc import Iterable

from harness.cluster.kube.client import Object
from harness.cluster.kube.reflector import DELETED, SYNC
from harness.cluster.kube.resources import EVENTS
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import moment


class EventProbe(WatchProbe):
    """Series ``events``, subject ``<kind>/<name>`` of the object that the event is about.

    Events from before the watch are left out, and so are deletions, since an event only expires. ``wall`` is when its
    author last observed it.
    """

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
    """Return when an event was last observed, in Unix seconds. Old and new clients set different fields."""
    repeated = item.get("series") or {}
    stamps = (
        repeated.get("lastObservedTime"),
        item.get("lastTimestamp"),
        item.get("eventTime"),
        item.get("firstTimestamp"),
        item["metadata"].get("creationTimestamp"),
    )
    return moment(next((stamp for stamp in stamps if stamp), None))

"""Nodes: ready or not, open to new pods or not, and in which zone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.cluster.api import Object
from harness.cluster.resources import NODES
from harness.probe import Sighting, WatchProbe
from harness.probes.conditions import conditions
from harness.reflector import DELETED

ZONE = "topology.kubernetes.io/zone"


class NodeProbe(WatchProbe):
    """Series ``nodes``, subject ``<node>``. Written when it changes: a node renews its status every few seconds."""

    series = "nodes"
    resource = NODES
    namespaced = False
    optional = True

    def __init__(self) -> None:
        self._last: dict[str, dict[str, Any]] = {}

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        meta, gone = item["metadata"], event == DELETED
        ready = conditions(item).get("Ready", {})
        value = {
            "ready": not gone and ready.get("status") == "True",
            "schedulable": not gone and not item.get("spec", {}).get("unschedulable", False),
            "zone": (meta.get("labels") or {}).get(ZONE, ""),
            "gone": gone,
        }
        if self._last.get(meta["name"]) != value:
            self._last[meta["name"]] = value
            yield Sighting(meta["name"], value, None if gone else ready.get("since"))

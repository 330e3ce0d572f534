"""Nodes: whether they are ready and schedulable, and their zone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.reflector import DELETED
from harness.cluster.kube.resources import NODES
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import conditions

ZONE = "topology.kubernetes.io/zone"


class NodeProbe(WatchProbe):
    """Series ``nodes``, subject ``<node>``.

    A sighting is added only when the value changes, since a node updates its status every few seconds. It has "unknown"
    while the kubelet does not report.
    """

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
        # The node controller sets Unknown when a kubelet stops reporting: not ready, but its pods may be running.
        if not gone and ready.get("status") not in {"True", "False"}:
            value["unknown"] = True
        if self._last.get(meta["name"]) != value:
            self._last[meta["name"]] = value
            yield Sighting(meta["name"], value, None if gone else ready.get("since"))

"""The node probe tells when a node's readiness or openness changes, and is quiet about its heartbeats."""

from __future__ import annotations

from typing import Any

import pytest

from harness.common.clock import parse_kubernetes_time
from harness.probes.nodes import NodeProbe


def node(ready: str = "True", unschedulable: bool = False, heartbeat: int = 0) -> dict[str, Any]:
    return {
        "metadata": {"name": "worker-1", "labels": {"topology.kubernetes.io/zone": "zone-a"}},
        "spec": {"unschedulable": True} if unschedulable else {},
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {
                    "type": "Ready",
                    "status": ready,
                    "lastHeartbeatTime": f"2026-11-23T07:24:0{heartbeat}Z",
                    "lastTransitionTime": "2026-11-23T07:00:00Z",
                },
            ]
        },
    }


def test_a_node() -> None:
    (sighting,) = NodeProbe().see("SYNC", node())
    assert (sighting.subject, sighting.value) == (
        "worker-1",
        {"ready": True, "schedulable": True, "zone": "zone-a", "gone": False},
    )
    assert sighting.wall == parse_kubernetes_time("2026-11-23T07:00:00Z")


def test_a_heartbeat_is_no_news() -> None:
    probe = NodeProbe()
    assert len(list(probe.see("SYNC", node()))) == 1
    assert list(probe.see("MODIFIED", node(heartbeat=5))) == []


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_silent_node_counts_as_unready(ready: str) -> None:
    (sighting,) = NodeProbe().see("MODIFIED", node(ready))
    assert sighting.value["ready"] is False


def test_cordoned_and_deleted_nodes_take_no_pods() -> None:
    probe = NodeProbe()
    (cordoned,) = probe.see("MODIFIED", node(unschedulable=True))
    (deleted,) = probe.see("DELETED", node())
    assert (cordoned.value["ready"], cordoned.value["schedulable"]) == (True, False)
    assert (deleted.value["ready"], deleted.value["schedulable"]) == (False, False)
    assert (cordoned.value["gone"], deleted.value["gone"]) == (False, True)


def test_nodes_are_watched_in_the_whole_cluster() -> None:
    assert NodeProbe().namespaced is False


def test_a_silent_node_is_marked_as_unknown() -> None:
    """Not ready is what it counts as; that it may be running all the same is what a judge must see."""
    probe = NodeProbe()
    (silent,) = probe.see("MODIFIED", node("Unknown"))
    (down,) = probe.see("MODIFIED", node("False"))
    assert (silent.value.get("unknown"), down.value.get("unknown")) == (True, None)

"""When all replicas of a workload are there."""

from __future__ import annotations

from typing import Any

import pytest

from harness.cluster.kube.completeness import is_complete

REPLICAS = {"replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}
DAEMONS = {"desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 2}


@pytest.mark.parametrize(
    ("kind", "seconds", "status", "complete"),
    [
        ("Deployment", 0, REPLICAS, True),
        ("Deployment", 5, REPLICAS, False),
        ("Deployment", 5, REPLICAS | {"availableReplicas": 1}, False),
        ("StatefulSet", 5, REPLICAS | {"availableReplicas": 2}, True),
        ("DaemonSet", 0, DAEMONS, True),
        ("DaemonSet", 5, DAEMONS, False),
        ("DaemonSet", 5, DAEMONS | {"numberAvailable": 2}, True),
    ],
)
def test_pods_must_have_been_ready_long_enough(kind: str, seconds: int, status: dict[str, Any], complete: bool) -> None:
    spec = {"minReadySeconds": seconds} if kind == "DaemonSet" else {"minReadySeconds": seconds, "replicas": 2}
    item = {"kind": kind, "metadata": {"name": "shop"}, "spec": spec, "status": status}
    assert is_complete(item) is complete

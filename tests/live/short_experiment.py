"""An experiment of the catalogue in short, for tests of clusters: that it runs there is proven, not what it says."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

CATALOGUE = Path(__file__).parents[2] / "experiments"
NAME = "short"
TWIN = "one-slow-replica"
# A replica that is back within half a second costs fewer requests than a busy machine may lose by itself.
_SLOW = {"containers": [{"name": "podinfo", "readinessProbe": {"initialDelaySeconds": 3}}]}
_TWIN = {
    "because": "nobody serves while the only replica is replaced by one that takes three seconds",
    "patch": {"deployment/podinfo": {"spec": {"replicas": 1, "template": {"spec": _SLOW}}}},
    "safety": {"lastReplica": "allowed"},
    "breaks": ["availability"],
}


def write(folder: Path, without: Collection[str] = (), *, twins: bool = False) -> Path:
    """One of three pods is killed, eighteen seconds in all; ``without`` are kinds of objectives to leave out."""
    body: dict[str, Any] = yaml.safe_load((CATALOGUE / "self_healing/one-pod-killed.yaml").read_text())
    body["metadata"] = {"name": NAME}
    # A Prometheus that has just been installed takes some seconds to find new pods.
    body["phases"] = {"baseline": "8s", "fault": "6s", "recovery": "30s", "settle": "4s"}
    # Four seconds are too few requests to show a share: what Prometheus counted is taken as it is.
    short = {"availability": {"min": "90%"}, "prometheus": {"confidence": None}}
    limits = [{kind: fields | short.get(kind, {}) for kind, fields in each.items()} for each in body["objectives"]]
    body["objectives"] = [each for each in limits if not set(without) & each.keys()]
    body["twins"] = {TWIN: _TWIN} if twins else {}
    file = folder / f"{NAME}.yaml"
    file.write_text(yaml.safe_dump(body))
    return file

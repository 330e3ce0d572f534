"""Workloads: the counts, the revision and the conditions of Deployments, StatefulSets and DaemonSets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from harness.cluster.api import Object
from harness.cluster.resources import DAEMON_SETS, Resource
from harness.probe import Sighting, WatchProbe
from harness.probes.conditions import conditions, newest
from harness.reflector import DELETED

_COUNTS = {
    "replicas": "replicas",
    "ready": "readyReplicas",
    "available": "availableReplicas",
    "updated": "updatedReplicas",
}
_DAEMON_COUNTS = {
    "replicas": "currentNumberScheduled",
    "ready": "numberReady",
    "available": "numberAvailable",
    "updated": "updatedNumberScheduled",
}


class WorkloadProbe(WatchProbe):
    """Series ``workloads``, subject ``<kind>/<name>``. ``template`` is a hash of the pod template as the spec has it
    now, so that an undone rollout shows the hash it had before. ``desired`` of a workload that is gone is 0."""

    series = "workloads"

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        meta, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
        gone = event == DELETED
        daemons = self.resource is DAEMON_SETS
        desired = status.get("desiredNumberScheduled", 0) if daemons else spec.get("replicas", 1)
        known = conditions(item)
        value: dict[str, Any] = {
            "event": event,
            "uid": meta.get("uid", ""),
            "desired": 0 if gone else desired,
            "generation": meta.get("generation", 0),
            "observed_generation": status.get("observedGeneration", 0),
            "revision": _revision(item),
            "template": template_hash(item),
            "conditions": known,
        }
        for key, field in (_DAEMON_COUNTS if daemons else _COUNTS).items():
            value[key] = 0 if gone else status.get(field, 0)
        wall = newest(*(condition["since"] for condition in known.values()))
        yield Sighting(f"{self.resource.kind.lower()}/{meta['name']}", value, wall)


def template_hash(workload: Object) -> str:
    """Sixteen hexadecimal digits that are equal exactly when the pod templates are."""
    template = workload.get("spec", {}).get("template", {})
    canonical = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _revision(item: Object) -> str:
    """A Deployment's revision number, a StatefulSet's revision hash, a DaemonSet's template generation."""
    annotations = item["metadata"].get("annotations") or {}
    status = item.get("status", {})
    return str(
        annotations.get("deployment.kubernetes.io/revision")
        or status.get("updateRevision")
        or annotations.get("deprecated.daemonset.template.generation")
        or ""
    )

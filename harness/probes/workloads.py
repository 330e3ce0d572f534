"""Workloads: the replica counts, revision and conditions of Deployments, StatefulSets, DaemonSets and Rollouts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from harness.cluster.kube.client import Object
from harness.cluster.kube.completeness import observed_generation
from harness.cluster.kube.reflector import DELETED
from harness.cluster.kube.resources import DAEMON_SETS, ROLLOUTS, STATEFUL_SETS, Resource
from harness.probes.base import Sighting, WatchProbe
from harness.probes.conditions import conditions, moment, newest

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
    """Series ``workloads``, subject ``<kind>/<name>``.

    ``deadline`` (seconds) and ``progressed`` (Unix seconds) are those of a Deployment's rollout, None for other kinds.
    ``template`` is a hash of the pod template in the spec, so it returns to its old value when a rollout is undone.
    ``first_ordinal`` is the number of a StatefulSet's first pod. Counts that the controller has not written yet are
    None; those of a deleted workload are 0.
    """

    series = "workloads"

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    def see(self, event: str, item: Object) -> Iterable[Sighting]:
        meta, spec, status = item["metadata"], item.get("spec", {}), item.get("status", {})
        gone = event == DELETED
        daemons = self.resource is DAEMON_SETS
        # The API omits zeros. A status with observedGeneration was written by the controller, so there missing means 0.
        observed = observed_generation(item)
        absent = None if observed is None else 0
        desired = status.get("desiredNumberScheduled", absent) if daemons else spec.get("replicas", 1)
        known = conditions(item)
        value: dict[str, Any] = {
            "event": event,
            "uid": meta.get("uid", ""),
            "desired": 0 if gone else desired,
            "generation": meta.get("generation", 0),
            "observed_generation": observed,
            "revision": _revision(item),
            "template": template_hash(item),
            "conditions": known,
            "deadline": spec.get("progressDeadlineSeconds"),
            "progressed": _progressed(item),
        }
        for key, field in (_DAEMON_COUNTS if daemons else _COUNTS).items():
            value[key] = 0 if gone else status.get(field, absent)
        if self.resource is ROLLOUTS:
            value["delivery"] = _delivery(status)
        if self.resource is STATEFUL_SETS:
            value["first_ordinal"] = (spec.get("ordinals") or {}).get("start", 0)
        wall = newest(*(condition["since"] for condition in known.values()))
        yield Sighting(f"{self.resource.kind.lower()}/{meta['name']}", value, wall)


def _progressed(item: Object) -> float | None:
    """Return when a Deployment's rollout last made progress, in Unix seconds; None if its condition does not show it.

    The controller counts the progress deadline from this time.
    """
    for condition in item.get("status", {}).get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("status") == "True":
            return moment(condition.get("lastUpdateTime"))
    return None


def template_hash(workload: Object) -> str:
    """Return a hash of a workload's pod template, as 16 hexadecimal digits."""
    template = workload.get("spec", {}).get("template", {})
    # The hash must not depend on the order of the keys in an answer.
    canonical = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _delivery(status: Object) -> dict[str, Any]:
    """Return how far a Rollout is: ``stable`` and ``current`` are hashes of pod templates, in the controller's form."""
    return {
        "phase": status.get("phase", ""),
        "message": status.get("message", ""),
        "aborted": bool(status.get("abort")),
        "paused": [str(each.get("reason")) for each in status.get("pauseConditions") or ()],
        "stable": status.get("stableRS", ""),
        "current": status.get("currentPodHash", ""),
    }


def _revision(item: Object) -> str:
    """Return the number of a Deployment or Rollout, the hash of a StatefulSet, or the generation of a DaemonSet."""
    annotations = item["metadata"].get("annotations") or {}
    status = item.get("status", {})
    return str(
        annotations.get("deployment.kubernetes.io/revision")
        or annotations.get("rollout.argoproj.io/revision")
        or status.get("updateRevision")
        or annotations.get("deprecated.daemonset.template.generation")
        or ""
    )

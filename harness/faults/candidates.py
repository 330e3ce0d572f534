"""A pod that a fault may choose, and the state that decides whether it can be hit."""

from __future__ import annotations

from typing import NamedTuple

import orjson

from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import has_ended
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.resources import PODS
from harness.common.clock import parse_kubernetes_time

RUNNING = "Running"


class Candidate(NamedTuple):
    """A pod to choose from. Kept as JSON text to save memory: thousands may match, and few are chosen."""

    name: str
    state: str
    created: float
    owner: str
    node: str
    text: bytes

    @classmethod
    def of(cls, pod: Object, state: str) -> Candidate:
        created = parse_kubernetes_time(pod["metadata"]["creationTimestamp"])
        node = str(pod["spec"].get("nodeName") or "")
        return cls(str(pod["metadata"]["name"]), state, created, workload_of(pod), node, orjson.dumps(pod))

    def pod(self) -> Object:
        # The API server lists items without their kind and apiVersion.
        return {"apiVersion": PODS.group_version, "kind": PODS.kind, **orjson.loads(self.text)}


def state(pod: Object) -> str:
    """Return ``Terminating``, ``Finished`` (all containers ended, phase still Running), or the pod's phase."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    if has_ended(pod) and pod["status"].get("phase") == RUNNING:
        return "Finished"
    return str(pod.get("status", {}).get("phase", "Unknown"))

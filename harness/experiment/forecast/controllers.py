"""Controllers of the in-memory model: they create the pods, with labels, of Kubernetes' built-in workload kinds.

Objects without a modelled controller are stored but have no pods: CronJobs that are not due, custom resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from harness.cluster.fake.controllers import Kubelet, spec_of, template_of
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import PODS, REPLICA_SETS

INDEXED = "Indexed"


class Spread(Kubelet):
    """A kubelet that assigns new pods to the nodes in turn."""

    def __init__(self, nodes: Sequence[str]) -> None:
        super().__init__(nodes[0] if nodes else "")
        self._next = cycle(nodes or [""])

    def react(self, store: Store, change: Change) -> None:
        if change.resource == PODS and change.type == "ADDED":
            self.node = next(self._next)
        super().react(store, change)


@dataclass(frozen=True, slots=True)
class Owners:
    """Creates pods of StatefulSets, DaemonSets, ReplicaSets without a Deployment, ReplicationControllers and Jobs."""

    nodes: int

    def react(self, store: Store, change: Change) -> None:
        if change.type != "ADDED":
            return
        owner = change.object
        metadata = owner["metadata"]
        reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
        reference |= {key: metadata[key] for key in ("name", "uid")}
        for suffix, labels in self._pods(owner, change):
            template = template_of(owner)
            given = template.get("metadata") or {}
            pod = {**given, "labels": {**(given.get("labels") or {}), **labels}, "ownerReferences": [reference]}
            pod["name"] = f"{metadata['name']}-{suffix}"
            store.create(PODS, change.namespace, {"metadata": pod, "spec": spec_of(template)})

    def _pods(self, owner: Object, change: Change) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the suffix of each pod's name, and the labels that its controller adds."""
        spec, name = spec_of(owner), owner["metadata"]["name"]
        match owner["kind"]:
            case "DaemonSet":
                yield from ((f"{number:05d}", {"controller-revision-hash": "model"}) for number in range(self.nodes))
            case "StatefulSet":
                first = int((spec.get("ordinals") or {}).get("start") or 0)
                for number in range(first, first + _count(spec, "replicas")):
                    yield str(number), _of_stateful_set(f"{name}-{number}", number)
            case "ReplicationController":
                yield from ((f"{number:05d}", {}) for number in range(_count(spec, "replicas")))
            # The pods of a Deployment's ReplicaSets are created together with them, by the model's
            # DeploymentController.
            case "ReplicaSet" if change.resource == REPLICA_SETS and not owner["metadata"].get("ownerReferences"):
                yield from ((f"{number:05d}", {}) for number in range(_count(spec, "replicas")))
            case "Job" if not spec.get("suspend"):
                yield from _of_job(name, spec)


def _of_stateful_set(pod: str, number: int) -> dict[str, str]:
    return {
        "statefulset.kubernetes.io/pod-name": pod,
        "apps.kubernetes.io/pod-index": str(number),
        "controller-revision-hash": "model",
    }


def _of_job(name: str, spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    labels = {"job-name": name, "batch.kubernetes.io/job-name": name}
    indexed = spec.get("completionMode") == INDEXED
    # The Job controller never runs more pods at a time than completions are left.
    at_once = min(_count(spec, "parallelism"), _count(spec, "completions", _count(spec, "parallelism")))
    for number in range(at_once):
        index = {"batch.kubernetes.io/job-completion-index": str(number)} if indexed else {}
        yield f"{number}-model" if indexed else f"{number:05d}", labels | index


def _count(spec: dict[str, Any], field: str, default: int = 1) -> int:
    found = spec.get(field)
    return found if isinstance(found, int) else default

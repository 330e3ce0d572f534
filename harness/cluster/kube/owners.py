"""Reads the controller and the owners of an object from its ownerReferences; no other module does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.cluster.kube.client import Object

HASH_LABEL = "pod-template-hash"
ROLLOUT_HASH_LABEL = "rollouts-pod-template-hash"
# By the label for the hash of the pod template, the kind of workload that makes ReplicaSets with it.
_MAKERS = {HASH_LABEL: "deployment", ROLLOUT_HASH_LABEL: "rollout"}
# On the API's read-only copy of a static pod.
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


def controller_of(item: Object) -> Mapping[str, Any] | None:
    """Return the owner reference of an object's controller; None when nothing controls it."""
    references = item["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def controller_kind(item: Object) -> str:
    """Return the kind of an object's controller; empty when nothing controls it."""
    reference = controller_of(item)
    return str(reference["kind"]) if reference else ""


def is_owned_by(item: Object, uid: str) -> bool:
    """Return whether the object with this UID is among an object's owners, as its controller or not."""
    return any(reference.get("uid") == uid for reference in item["metadata"].get("ownerReferences") or ())


def workload_of(pod: Object) -> str:
    """Return ``kind/name`` of the workload that a pod belongs to; empty when nothing controls it.

    The ReplicaSet of a Deployment or a Rollout is named after it and the hash of its template, which is a label of its
    pods: the workload is found without a request, even when the ReplicaSet is gone.
    """
    reference = controller_of(pod)
    if reference is None:
        return ""
    kind, name = str(reference["kind"]), str(reference["name"])
    labels = pod["metadata"].get("labels") or {}
    for label, maker in _MAKERS.items():
        revision = labels.get(label)
        if kind == "ReplicaSet" and revision and name.endswith(f"-{revision}"):
            return f"{maker}/{name.removesuffix(f'-{revision}')}"
    return f"{kind.lower()}/{name}"


def is_static(pod: Object) -> bool:
    """Return whether a pod is the copy of a static pod: its kubelet runs it, and deleting the copy changes nothing."""
    return controller_kind(pod) == "Node" or MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})

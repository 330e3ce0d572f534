"""The revisions of a workload: the pod templates that its controller keeps, as ``kubectl rollout history`` lists them.

A Deployment and a Rollout keep them in their ReplicaSets, a StatefulSet and a DaemonSet in ControllerRevisions. Not a
kind of fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.completeness import observed_generation
from harness.cluster.kube.owners import HASH_LABEL, ROLLOUT_HASH_LABEL, is_owned_by
from harness.cluster.kube.resources import CONTROLLER_REVISIONS, REPLICA_SETS, ROLLOUTS, Resource

REVISIONS = ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision")
# On the pods of StatefulSets and DaemonSets: the hash of their revision, or its whole name.
REVISION_LABEL = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a workload. ``name`` and ``uid`` are those of the object that keeps it."""

    number: int
    name: str
    uid: str
    template: Object
    # The whole object; a ReplicaSet has conditions of its own.
    item: Object

    def has(self, pod: Object) -> bool:
        """Return whether a pod of the workload is of this revision."""
        if self.item["kind"] == REPLICA_SETS.kind:
            return is_owned_by(pod, self.uid)
        label = (pod["metadata"].get("labels") or {}).get(REVISION_LABEL)
        # The label of a DaemonSet's pod is the hash alone, that of a StatefulSet's pod the whole name.
        return label is not None and label in {self.name, self.name.rpartition("-")[2]}


def keeper_of(of: str) -> Resource:
    """Return the resource whose objects keep the revisions of a workload ``kind/name``."""
    return REPLICA_SETS if of.startswith(("deployment/", "rollout/")) else CONTROLLER_REVISIONS


def revisions(api: KubeApi, workload: Object) -> list[Revision]:
    """Return the revisions of a workload, the newest last. Raises ApiError."""
    metadata = workload["metadata"]
    keeper = keeper_of(f"{workload['kind'].lower()}/{metadata['name']}")
    found = [item for item in api.list(keeper, metadata["namespace"]).items if is_owned_by(item, metadata["uid"])]
    return sorted((revision_in(item) for item in found), key=lambda revision: revision.number)


def revision_in(item: Object) -> Revision:
    """Return the revision that a ReplicaSet or ControllerRevision keeps."""
    metadata = item["metadata"]
    if item["kind"] == REPLICA_SETS.kind:
        annotations, template = metadata.get("annotations") or {}, item["spec"]["template"]
        number = next((annotations[key] for key in REVISIONS if key in annotations), 0)
    else:
        # A strategic merge patch of the workload, which replaces its template.
        number, template = item.get("revision", 0), item["data"]["spec"]["template"]
    return Revision(int(number), metadata["name"], metadata["uid"], _as_of_workload(template), item)


def current_revision(workload: Object, known: list[Revision]) -> Revision | None:
    """Return the newest revision if it has the current pod template; None if its controller is behind."""
    newest = known[-1] if known else None
    if newest is None or workload["kind"] != ROLLOUTS.kind:
        return newest if newest and newest.template == template_of(workload) else None
    # The API server's defaults are in the template of the ReplicaSet and not in that of the Rollout.
    behind = (observed_generation(workload) or 0) < workload["metadata"]["generation"]
    has = (newest.item["metadata"].get("labels") or {}).get(ROLLOUT_HASH_LABEL)
    return None if behind or has != workload["status"].get("currentPodHash") else newest


def template_of(workload: Object) -> Object:
    """Return the pod template of a workload, to compare with that of a revision."""
    return _as_of_workload(workload["spec"]["template"])


def _as_of_workload(template: Object) -> Object:
    """Return a template as its workload has it: without the label that the controller adds, marks of patches and nulls,
    such as ``creationTimestamp: null``, which API servers before 1.34 write."""
    metadata: dict[str, Any] = {key: value for key, value in template["metadata"].items() if value is not None}
    labels = {
        key: value
        for key, value in (metadata.get("labels") or {}).items()
        if key not in {HASH_LABEL, ROLLOUT_HASH_LABEL}
    }
    whole = {key: value for key, value in template.items() if key != "$patch"}
    return {**whole, "metadata": {**metadata, "labels": labels}}

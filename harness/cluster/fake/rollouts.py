"""A controller for the fake cluster that keeps the revisions of Rollouts in ReplicaSets. It creates no pods."""

from __future__ import annotations

import hashlib
import json

from harness.cluster.fake.controllers import template_of
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.owners import ROLLOUT_HASH_LABEL
from harness.cluster.kube.resources import REPLICA_SETS, ROLLOUTS

REVISION = "rollout.argoproj.io/revision"


class Rollouts:
    """Creates a ReplicaSet for each new pod template; an earlier one gets a new number when it returns."""

    def react(self, store: Store, change: Change) -> None:
        if change.resource != ROLLOUTS or change.type == "DELETED":
            return
        rollout, namespace = change.object, change.namespace
        metadata, template = rollout["metadata"], _with_defaults(template_of(rollout))
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        known = store.owned(REPLICA_SETS, namespace, metadata["uid"])
        newest = max((int(item["metadata"]["annotations"][REVISION]) for item in known), default=0)
        name = f"{metadata['name']}-{digest}"
        found = next((item for item in known if item["metadata"]["name"] == name), None)
        if found is None:
            store.create(REPLICA_SETS, namespace, _replica_set(rollout, template, digest, newest + 1))
        elif int(found["metadata"]["annotations"][REVISION]) < newest:
            number = {REVISION: str(newest + 1)}
            store.update(
                REPLICA_SETS,
                namespace,
                name,
                lambda item: {**item, "metadata": {**item["metadata"], "annotations": number}},
            )
        status = {"observedGeneration": str(metadata["generation"]), "currentPodHash": digest}
        if {key: (rollout.get("status") or {}).get(key) for key in status} != status:
            known_status = {**(rollout.get("status") or {}), **status}
            store.update(ROLLOUTS, namespace, metadata["name"], lambda item: {**item, "status": known_status}, "status")


def _with_defaults(template: Object) -> Object:
    """Return a template as the API server stores it in a ReplicaSet: with defaults, which a Rollout does not have."""
    return {**template, "spec": {"restartPolicy": "Always", **template["spec"]}}


def _replica_set(rollout: Object, template: Object, digest: str, number: int) -> Object:
    metadata = rollout["metadata"]
    owner = {"apiVersion": rollout["apiVersion"], "kind": rollout["kind"], "controller": True}
    owner |= {"name": metadata["name"], "uid": metadata["uid"]}
    hashed = {ROLLOUT_HASH_LABEL: digest}
    labels = {**(template["metadata"].get("labels") or {}), **hashed}
    return {
        "apiVersion": REPLICA_SETS.group_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {
            "name": f"{metadata['name']}-{digest}",
            "labels": hashed,
            "annotations": {REVISION: str(number)},
            "ownerReferences": [owner],
        },
        "spec": {"replicas": 0, "template": {**template, "metadata": {**template["metadata"], "labels": labels}}},
    }

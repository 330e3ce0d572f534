"""A controller for the fake cluster that keeps the revisions of StatefulSets and DaemonSets. It replaces no pods."""

from __future__ import annotations

import hashlib
import json

from harness.cluster.fake.controllers import template_of
from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import CONTROLLER_REVISIONS, DAEMON_SETS, STATEFUL_SETS


class Revisions:
    """Creates a ControllerRevision for each new pod template; an earlier one gets a new number when it returns."""

    def react(self, store: Store, change: Change) -> None:
        if change.resource not in {STATEFUL_SETS, DAEMON_SETS} or change.type == "DELETED":
            return
        workload, namespace = change.object, change.namespace
        metadata, template = workload["metadata"], template_of(workload)
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        known = store.owned(CONTROLLER_REVISIONS, namespace, metadata["uid"])
        newest = max((item["revision"] for item in known), default=0)
        name = f"{metadata['name']}-{digest}"
        found = next((item for item in known if item["metadata"]["name"] == name), None)
        if found is None:
            store.create(CONTROLLER_REVISIONS, namespace, _revision(workload, name, newest + 1))
        elif found["revision"] < newest:
            store.update(CONTROLLER_REVISIONS, namespace, name, lambda item: {**item, "revision": newest + 1})
        if (workload.get("status") or {}).get("observedGeneration") != metadata["generation"]:
            status = {**(workload.get("status") or {}), "observedGeneration": metadata["generation"]}
            resource, own = change.resource, metadata["name"]
            store.update(resource, namespace, own, lambda item: {**item, "status": status}, "status")


def _revision(workload: Object, name: str, number: int) -> Object:
    metadata = workload["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": workload["kind"], "controller": True}
    owner |= {"name": metadata["name"], "uid": metadata["uid"]}
    template = {"$patch": "replace", **template_of(workload)}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": name, "ownerReferences": [owner]},
        "data": {"spec": {"template": template}},
        "revision": number,
    }

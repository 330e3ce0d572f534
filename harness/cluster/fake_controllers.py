"""Controllers for the fake cluster: enough of a kubelet and of the Deployment controller for pods to come back.

They act at once, inside the write that they react to. What they leave out: pod conditions other than readiness,
progress deadlines, pausing, and the Recreate strategy.
"""

from __future__ import annotations

import hashlib
import json
import math

from harness.cluster.api import Object
from harness.cluster.conditions import holds
from harness.cluster.fake_patches import copied
from harness.cluster.fake_store import Change, Store
from harness.cluster.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Resource

REVISION = "deployment.kubernetes.io/revision"
HASH_LABEL = "pod-template-hash"


class Kubelet:
    """Runs every pod on one node: Ready at once, unless its image is named here; deleted pods go at once.

    Images in ``missing`` cannot be pulled (ImagePullBackOff), those in ``crashing`` keep exiting (CrashLoopBackOff),
    those in ``unready`` run and never become ready.
    """

    def __init__(self, node: str = "node-1") -> None:
        self.node = node
        self.missing: set[str] = set()
        self.crashing: set[str] = set()
        self.unready: set[str] = set()
        self._started = 0

    def react(self, store: Store, change: Change) -> None:
        name = change.object["metadata"]["name"]
        # Changes are told one after the other, so the pod of this one may have gone in the meantime.
        pod = _find(store, PODS, change.namespace, name) if change.resource == PODS else None
        if pod is None:
            return
        if "deletionTimestamp" in pod["metadata"]:
            store.remove(PODS, change.namespace, name)
        elif "status" not in pod:
            store.update(PODS, change.namespace, name, self._bind)
            store.update(PODS, change.namespace, name, lambda pod: self._run(store, pod), "status")

    def _bind(self, pod: Object) -> Object:
        return {**pod, "spec": {**pod["spec"], "nodeName": self.node}}

    def _run(self, store: Store, pod: Object) -> Object:
        statuses = [self._container(store, container) for container in pod["spec"]["containers"]]
        running = all("running" in status["state"] for status in statuses)
        ready = all(status["ready"] for status in statuses)
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": store.now()}
        status = {
            "phase": "Running" if running else "Pending",
            "conditions": [condition],
            "containerStatuses": statuses,
            "startTime": store.now(),
        }
        return {**pod, "status": status}

    def _container(self, store: Store, container: Object) -> Object:
        self._started += 1
        image = container.get("image", "")
        reason = "ImagePullBackOff" if image in self.missing else "CrashLoopBackOff" if image in self.crashing else ""
        status: Object = {"name": container["name"], "image": image, "restartCount": 0, "ready": False}
        if reason:
            return status | {"state": {"waiting": {"reason": reason, "message": f"{reason} of {image}"}}}
        state = {"running": {"startedAt": store.now()}}
        identity = f"fake://{self._started:064x}"
        return status | {"state": state, "ready": image not in self.unready, "containerID": identity}


class DeploymentController:
    """Deployments with their ReplicaSets: replaces lost pods, scales, rolls out within surge and unavailability."""

    def react(self, store: Store, change: Change) -> None:
        if change.resource == DEPLOYMENTS and change.type != "DELETED":
            self._sync(store, change.namespace, change.object["metadata"]["name"])
        elif change.resource == PODS:
            owner = _owner(change.object, "ReplicaSet")
            replica_set = _find(store, REPLICA_SETS, change.namespace, owner) if owner else None
            deployment = _owner(replica_set, "Deployment") if replica_set else None
            if deployment:
                self._sync(store, change.namespace, deployment)

    def _sync(self, store: Store, namespace: str, name: str) -> None:
        deployment = _find(store, DEPLOYMENTS, namespace, name)
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        current = self._current_set(store, deployment)
        sets = _owned(store, REPLICA_SETS, namespace, deployment["metadata"]["uid"])
        old = [item for item in sets if item["metadata"]["uid"] != current["metadata"]["uid"]]
        self._roll(store, deployment, current, old)
        for item in sets:
            self._fill(store, namespace, item["metadata"]["name"])
        self._report(store, deployment, current, old)

    def _current_set(self, store: Store, deployment: Object) -> Object:
        namespace, template = deployment["metadata"]["namespace"], deployment["spec"]["template"]
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{deployment['metadata']['name']}-{digest}"
        sets = _owned(store, REPLICA_SETS, namespace, deployment["metadata"]["uid"])
        newest = max((int(item["metadata"]["annotations"][REVISION]) for item in sets), default=0)
        found = _find(store, REPLICA_SETS, namespace, name)
        if found is None:
            found = store.create(REPLICA_SETS, namespace, _replica_set(deployment, name, digest, newest + 1))
            newest += 1
        elif int(found["metadata"]["annotations"][REVISION]) < newest:
            newest += 1
            found = store.update(REPLICA_SETS, namespace, name, lambda item: _annotated(item, newest))
        store.update(DEPLOYMENTS, namespace, deployment["metadata"]["name"], lambda item: _annotated(item, newest))
        return found

    def _roll(self, store: Store, deployment: Object, current: Object, old: list[Object]) -> None:
        namespace, desired = deployment["metadata"]["namespace"], deployment["spec"].get("replicas", 1)
        rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge = math.ceil(_share(rolling.get("maxSurge", "25%"), desired))
        unavailable = math.floor(_share(rolling.get("maxUnavailable", "25%"), desired))
        room = desired + surge - sum(item["spec"]["replicas"] for item in old)
        _scale(store, namespace, current, max(0, min(desired, room)))
        self._fill(store, namespace, current["metadata"]["name"])
        ready = sum(len(_ready(store, namespace, item)) for item in [current, *old])
        spare = ready - (desired - unavailable)
        for item in old:
            broken = item["spec"]["replicas"] - len(_ready(store, namespace, item))
            fewer = min(item["spec"]["replicas"], broken + max(0, spare))
            spare -= max(0, fewer - broken)
            _scale(store, namespace, item, item["spec"]["replicas"] - fewer)

    def _fill(self, store: Store, namespace: str, name: str) -> None:
        replica_set = store.get(REPLICA_SETS, namespace, name)
        pods = _pods(store, namespace, replica_set)
        for _ in range(replica_set["spec"]["replicas"] - len(pods)):
            template = copied(replica_set["spec"]["template"])
            metadata = {**template.get("metadata", {}), "generateName": f"{name}-"}
            metadata["ownerReferences"] = [_reference(replica_set)]
            store.create(PODS, namespace, {"metadata": metadata, "spec": template["spec"]})
        for pod in pods[replica_set["spec"]["replicas"] :]:
            store.delete(PODS, namespace, pod["metadata"]["name"], {})

    def _report(self, store: Store, deployment: Object, current: Object, old: list[Object]) -> None:
        namespace = deployment["metadata"]["namespace"]
        updated = len(_pods(store, namespace, current))
        total = updated + sum(len(_pods(store, namespace, item)) for item in old)
        ready = sum(len(_ready(store, namespace, item)) for item in [current, *old])
        desired = deployment["spec"].get("replicas", 1)
        complete = updated == total == ready == desired
        reason = "NewReplicaSetAvailable" if complete else "ReplicaSetUpdated"
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": total,
            "updatedReplicas": updated,
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(0, desired - ready),
            "conditions": [{"type": "Progressing", "status": "True", "reason": reason}],
        }
        name = deployment["metadata"]["name"]
        store.update(DEPLOYMENTS, namespace, name, lambda item: {**item, "status": status}, "status")


def _replica_set(deployment: Object, name: str, digest: str, revision: int) -> Object:
    template = copied(deployment["spec"]["template"])
    labels = {**template.get("metadata", {}).get("labels", {}), HASH_LABEL: digest}
    template["metadata"] = {**template.get("metadata", {}), "labels": labels}
    owner = _reference(deployment)
    metadata = {"name": name, "labels": labels, "annotations": {REVISION: str(revision)}, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}


def _scale(store: Store, namespace: str, item: Object, replicas: int) -> None:
    def change(found: Object) -> Object:
        return {**found, "spec": {**found["spec"], "replicas": replicas}}

    store.update(REPLICA_SETS, namespace, item["metadata"]["name"], change)


def _pods(store: Store, namespace: str, replica_set: Object) -> list[Object]:
    pods = _owned(store, PODS, namespace, replica_set["metadata"]["uid"])
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _ready(store: Store, namespace: str, replica_set: Object) -> list[Object]:
    return [pod for pod in _pods(store, namespace, replica_set) if holds(pod, "Ready")]


def _owned(store: Store, resource: Resource, namespace: str, uid: str) -> list[Object]:
    return [
        item
        for item in store.list(resource, namespace)
        if any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences", ()))
    ]


def _owner(item: Object, kind: str) -> str:
    owners = item["metadata"].get("ownerReferences", ())
    return next((str(owner["name"]) for owner in owners if owner["kind"] == kind), "")


def _reference(owner: Object) -> Object:
    metadata = owner["metadata"]
    identity = {"name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **identity, "controller": True}


def _annotated(item: Object, revision: int) -> Object:
    annotations = {**item["metadata"].get("annotations", {}), REVISION: str(revision)}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}


def _find(store: Store, resource: Resource, namespace: str, name: str) -> Object | None:
    found = [item for item in store.list(resource, namespace) if item["metadata"]["name"] == name]
    return found[0] if found else None


def _share(value: int | str, whole: int) -> float:
    return whole * int(value[:-1]) / 100 if isinstance(value, str) else float(value)

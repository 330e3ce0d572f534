"""Controllers for the fake cluster: a minimal kubelet and Deployment controller, which replace lost pods.

They act at once, within the write that they react to. Not implemented: pod conditions other than Ready, progress
deadlines, pausing, and the Recreate strategy.
"""

from __future__ import annotations

import hashlib
import json
import math
import re

from harness.cluster.fake.store import Change, Store
from harness.cluster.kube.client import Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.owners import HASH_LABEL
from harness.cluster.kube.patches.strategic import copied
from harness.cluster.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS

REVISION = "deployment.kubernetes.io/revision"
EPHEMERAL = "ephemeralContainerStatuses"


def spec_of(item: Object) -> Object:
    """Return the spec of an object or a pod template; empty if it is missing or null."""
    found = item.get("spec")
    return found if isinstance(found, dict) else {}


def template_of(owner: Object) -> Object:
    """Return a copy of the pod template of a workload."""
    found = spec_of(owner).get("template")
    return copied(found) if isinstance(found, dict) else {}


class Kubelet:
    """Runs every pod on one node: Ready at once, unless its image is in a set below; deleted pods are removed at once.

    Images in ``missing`` cannot be pulled (ImagePullBackOff), those in ``crashing`` keep exiting (CrashLoopBackOff),
    those in ``unready`` run but never become ready.
    """

    def __init__(self, node: str = "node-1") -> None:
        self.node = node
        self.missing: set[str] = set()
        self.crashing: set[str] = set()
        self.unready: set[str] = set()
        self._started = 0

    def react(self, store: Store, change: Change) -> None:
        name = change.object["metadata"]["name"]
        # Changes are queued, so the pod may have been removed since this one.
        pod = store.find(PODS, change.namespace, name) if change.resource == PODS else None
        if pod is None:
            return
        if "deletionTimestamp" in pod["metadata"]:
            store.remove(PODS, change.namespace, name)
        elif "status" not in pod:
            store.update(PODS, change.namespace, name, self._bind)
            store.update(PODS, change.namespace, name, lambda pod: self._run(store, pod), "status")
        elif len(spec_of(pod).get("ephemeralContainers") or ()) > len(pod["status"].get(EPHEMERAL) or ()):
            store.update(PODS, change.namespace, name, lambda pod: self._run_beside(store, pod), "status")

    def _bind(self, pod: Object) -> Object:
        return {**pod, "spec": {**spec_of(pod), "nodeName": self.node}}

    def _run(self, store: Store, pod: Object) -> Object:
        statuses = [self._container(store, container) for container in spec_of(pod).get("containers") or ()]
        listed = spec_of(pod).get("initContainers") or ()
        sidecars = [self._container(store, each) for each in listed if each.get("restartPolicy") == "Always"]
        running = all("running" in status["state"] for status in statuses)
        ready = all(status["ready"] for status in statuses)
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": store.now()}
        status = {
            "phase": "Running" if running else "Pending",
            "conditions": [condition],
            "containerStatuses": statuses,
            "startTime": store.now(),
        }
        return {**pod, "status": status | ({"initContainerStatuses": sidecars} if sidecars else {})}

    def _run_beside(self, store: Store, pod: Object) -> Object:
        known = {status["name"]: status for status in pod["status"].get(EPHEMERAL) or ()}
        listed = spec_of(pod)["ephemeralContainers"]
        statuses = [known.get(each["name"]) or self._container(store, each) for each in listed]
        return {**pod, "status": {**pod["status"], EPHEMERAL: statuses}}

    def _container(self, store: Store, container: Object) -> Object:
        self._started += 1
        image = container.get("image", "")
        reason = "ImagePullBackOff" if image in self.missing else "CrashLoopBackOff" if image in self.crashing else ""
        status: Object = {"name": container.get("name", ""), "image": image, "restartCount": 0, "ready": False}
        if reason:
            return status | {"state": {"waiting": {"reason": reason, "message": f"{reason} of {image}"}}}
        state = {"running": {"startedAt": store.now()}}
        # The API's format of container IDs is ``<runtime>://<id>``; containerd's have 64 hexadecimal digits.
        identity = f"fake://{self._started:064x}"
        return status | {"state": state, "ready": image not in self.unready, "containerID": identity}


class DeploymentController:
    """Controls Deployments and ReplicaSets: replaces lost pods, scales, rolls out with maxSurge and maxUnavailable."""

    def react(self, store: Store, change: Change) -> None:
        if change.resource == DEPLOYMENTS and change.type != "DELETED":
            self._sync(store, change.namespace, change.object["metadata"]["name"])
        elif change.resource == PODS:
            owner = _owner(change.object, "ReplicaSet")
            replica_set = store.find(REPLICA_SETS, change.namespace, owner) if owner else None
            deployment = _owner(replica_set, "Deployment") if replica_set else None
            if deployment:
                self._sync(store, change.namespace, deployment)

    def _sync(self, store: Store, namespace: str, name: str) -> None:
        deployment = store.find(DEPLOYMENTS, namespace, name)
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        current = self._current_set(store, deployment)
        sets = store.owned(REPLICA_SETS, namespace, deployment["metadata"]["uid"])
        old = [item for item in sets if item["metadata"]["uid"] != current["metadata"]["uid"]]
        self._roll(store, deployment, current, old)
        for item in sets:
            self._fill(store, namespace, item["metadata"]["name"])
        self._report(store, deployment, current, old)

    def _current_set(self, store: Store, deployment: Object) -> Object:
        namespace, template = deployment["metadata"]["namespace"], template_of(deployment)
        digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
        name = f"{deployment['metadata']['name']}-{digest}"
        sets = store.owned(REPLICA_SETS, namespace, deployment["metadata"]["uid"])
        newest = max((int(item["metadata"]["annotations"][REVISION]) for item in sets), default=0)
        found = store.find(REPLICA_SETS, namespace, name)
        if found is None:
            found = store.create(REPLICA_SETS, namespace, _replica_set(deployment, name, digest, newest + 1))
            newest += 1
        # A rollback gives the old ReplicaSet a new revision, as on a real cluster.
        elif int(found["metadata"]["annotations"][REVISION]) < newest:
            newest += 1
            found = store.update(REPLICA_SETS, namespace, name, lambda item: _annotated(item, newest))
        store.update(DEPLOYMENTS, namespace, deployment["metadata"]["name"], lambda item: _annotated(item, newest))
        return found

    def _roll(self, store: Store, deployment: Object, current: Object, old: list[Object]) -> None:
        namespace, desired = deployment["metadata"]["namespace"], _desired(deployment)
        rolling = (spec_of(deployment).get("strategy") or {}).get("rollingUpdate") or {}
        # Rounded as by the Deployment controller: maxSurge up, maxUnavailable down.
        surge = math.ceil(_share(rolling.get("maxSurge"), desired))
        unavailable = math.floor(_share(rolling.get("maxUnavailable"), desired))
        room = desired + surge - sum(item["spec"]["replicas"] for item in old)
        _scale(store, namespace, current, max(0, min(desired, room)))
        self._fill(store, namespace, current["metadata"]["name"])
        ready = sum(len(_ready(store, namespace, item)) for item in [current, *old])
        spare = ready - (desired - unavailable)
        for item in old:
            # As in the real controller, pods of old ReplicaSets that are not ready are removed first: this costs no
            # availability.
            broken = item["spec"]["replicas"] - len(_ready(store, namespace, item))
            fewer = min(item["spec"]["replicas"], broken + max(0, spare))
            spare -= max(0, fewer - broken)
            _scale(store, namespace, item, item["spec"]["replicas"] - fewer)

    def _fill(self, store: Store, namespace: str, name: str) -> None:
        replica_set = store.get(REPLICA_SETS, namespace, name)
        pods = _pods(store, namespace, replica_set)
        for _ in range(replica_set["spec"]["replicas"] - len(pods)):
            template = template_of(replica_set)
            metadata = {**(template.get("metadata") or {}), "generateName": f"{name}-"}
            metadata["ownerReferences"] = [_reference(replica_set)]
            store.create(PODS, namespace, {"metadata": metadata, "spec": spec_of(template)})
        for pod in pods[replica_set["spec"]["replicas"] :]:
            store.delete(PODS, namespace, pod["metadata"]["name"], {})

    def _report(self, store: Store, deployment: Object, current: Object, old: list[Object]) -> None:
        namespace = deployment["metadata"]["namespace"]
        updated = len(_pods(store, namespace, current))
        total = updated + sum(len(_pods(store, namespace, item)) for item in old)
        ready = sum(len(_ready(store, namespace, item)) for item in [current, *old])
        desired = _desired(deployment)
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
    template = template_of(deployment)
    given = template.get("metadata") or {}
    labels = {**(given.get("labels") or {}), HASH_LABEL: digest}
    template["metadata"] = {**given, "labels": labels}
    owner = _reference(deployment)
    metadata = {"name": name, "labels": labels, "annotations": {REVISION: str(revision)}, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}


def _scale(store: Store, namespace: str, item: Object, replicas: int) -> None:
    def change(found: Object) -> Object:
        return {**found, "spec": {**found["spec"], "replicas": replicas}}

    store.update(REPLICA_SETS, namespace, item["metadata"]["name"], change)


def _pods(store: Store, namespace: str, replica_set: Object) -> list[Object]:
    pods = store.owned(PODS, namespace, replica_set["metadata"]["uid"])
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def _ready(store: Store, namespace: str, replica_set: Object) -> list[Object]:
    return [pod for pod in _pods(store, namespace, replica_set) if holds(pod, "Ready")]


def _owner(item: Object, kind: str) -> str:
    owners = item["metadata"].get("ownerReferences") or ()
    return next((str(owner["name"]) for owner in owners if owner["kind"] == kind), "")


def _reference(owner: Object) -> Object:
    metadata = owner["metadata"]
    identity = {"name": metadata["name"], "uid": metadata["uid"]}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **identity, "controller": True}


def _annotated(item: Object, revision: int) -> Object:
    annotations = {**(item["metadata"].get("annotations") or {}), REVISION: str(revision)}
    return {**item, "metadata": {**item["metadata"], "annotations": annotations}}


def _share(value: int | str | None, whole: int) -> float:
    """Return the number of pods of a number or percentage; a quarter if not given, the Deployment's default."""
    if isinstance(value, int):
        return float(value)
    share = re.fullmatch(r"(\d+)%", value or "")
    return whole * (int(share[1]) if share else 25) / 100


def _desired(deployment: Object) -> int:
    replicas = spec_of(deployment).get("replicas")
    return 1 if replicas is None else int(replicas)

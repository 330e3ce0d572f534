"""Rolls out a version that cannot work: an image that does not exist, or a pod template broken by a patch.

Undone by putting the recorded pod template back, which is what ``kubectl rollout undo`` does; it is verified that the
API shows it again. How long the old version takes to be fully back is for the observers to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.clock import parse_kubernetes_time
from harness.cluster.api import Object
from harness.cluster.permissions import Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from harness.errors import HarnessError, Inconclusive
from harness.fault import Evidence, Fault, FaultContext
from harness.guard import check_victims
from harness.observation import Victim
from harness.target import WorkloadTarget

REVISION = "deployment.kubernetes.io/revision"
# What a container waits for on its way to running: no sign of trouble yet.
_STARTING = {None, "ContainerCreating", "PodInitializing"}
# Running this long without becoming ready is a sign of trouble; a good version of a test workload starts faster.
UNREADY_SECONDS = 5.0


class BadRollout(WorkloadTarget, Fault):
    """Change a Deployment's pod template to one that does not work."""

    kind: ClassVar[str] = "badRollout"
    kinds: ClassVar[tuple[str, ...]] = ("deployment",)

    image: str | None = Field(None, min_length=1, description="image to roll out, such as does-not:exist")
    container: str | None = Field(None, description="whose image; needed when the pods have several containers")
    patch: dict[str, Any] | None = Field(
        None, min_length=1, description="strategic merge patch of the pod template, instead of an image"
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.image is None) == (self.patch is None):
            found = "neither" if self.image is None else "both"
            raise ValueError(f"found {found} of image and patch, expected exactly one")
        if self.container is not None and self.image is None:
            raise ValueError("found container without image: it says whose image is changed")
        return self

    @property
    def permissions(self) -> frozenset[Permission]:
        seen = allow(REPLICA_SETS, "list") | allow(PODS, "list")
        return self.target_permissions | allow(self.resource, "patch") | seen

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        if self.image is not None:
            self._container_index(found)
        return (Victim("Deployment", self.name, found["metadata"]["uid"], f"revision {_revision(found)}"),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found = self.find_workload(context.api, context.namespace)
            parameters = {
                "namespace": context.namespace,
                "name": self.name,
                "uid": victim.uid,
                "revision": _revision(found),
                "template": found["spec"]["template"],
            }
            context.journal.write(self.kind, f"roll {self.of} back to revision {_revision(found)}", parameters)
            after = self._roll_out(context, found, victim.uid)
            if after["metadata"]["generation"] == found["metadata"]["generation"]:
                raise Inconclusive(f"{self.of} is that way already: rolling it out changed nothing")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """A pod of a ReplicaSet newer than the revision before is in trouble, or could not even be made.

        With a ``patch`` a pod that counts as ready proves it as well: what is bad about it only its author knows, and a
        workload that lets it pass is what the experiment wants to hear of.
        """
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        before = int(victim.detail.split()[-1])
        sets = context.api.list(REPLICA_SETS, context.namespace).items
        newer = [item for item in sets if _owned_by(item, victim.uid) and _revision(item) > before]
        if not newer:
            return False, f"{self.of} has no ReplicaSet newer than revision {before}"
        newest = max(newer, key=_revision)
        uid = newest["metadata"]["uid"]
        pods = [pod for pod in context.api.list(PODS, context.namespace).items if _owned_by(pod, uid)]
        trouble = [text for pod in pods for text in _trouble(pod, context.clock.wall())]
        trouble += [
            f"its pods cannot be made: {condition.get('message')}"
            for condition in newest.get("status", {}).get("conditions", ())
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]
        if self.patch is not None:
            trouble += [f"{pod['metadata']['name']} counts as ready: nothing stopped it" for pod in pods if _ready(pod)]
        seen = "; ".join(trouble) or f"{len(pods)} pods, none in trouble"
        return bool(trouble), f"revision {_revision(newest)}, ReplicaSet {newest['metadata']['name']}: {seen}"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        name, namespace, template = parameters["name"], parameters["namespace"], parameters["template"]
        found = cluster.api.find(DEPLOYMENTS, name, namespace)
        if found is None or found["metadata"]["uid"] != parameters["uid"]:
            return f"deployment/{name} is gone: nothing to roll back"
        if found["spec"]["template"] == template:
            return f"deployment/{name} has the pod template of revision {parameters['revision']}"
        patch: list[Object] = [
            {"op": "test", "path": "/metadata/uid", "value": parameters["uid"]},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]
        cluster.api.patch(DEPLOYMENTS, name, patch, namespace, strategy="json")
        if cluster.api.get(DEPLOYMENTS, name, namespace)["spec"]["template"] != template:
            raise HarnessError(f"deployment/{name} does not show the pod template that was put back")
        return f"deployment/{name} was rolled back to the pod template of revision {parameters['revision']}"

    def _roll_out(self, context: FaultContext, found: Object, uid: str) -> Object:
        if self.patch is not None:
            # A UID in a merge patch is a precondition: the server refuses it on another object of that name.
            body = {"metadata": {"uid": uid}, "spec": {"template": self.patch}}
            return context.api.patch(DEPLOYMENTS, self.name, body, context.namespace, strategy="strategic-merge")
        path = f"/spec/template/spec/containers/{self._container_index(found)}/image"
        operations: list[Object] = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "replace", "path": path, "value": self.image},
        ]
        return context.api.patch(DEPLOYMENTS, self.name, operations, context.namespace, strategy="json")

    def _container_index(self, deployment: Object) -> int:
        names = [container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]]
        if self.container is None and len(names) == 1:
            return 0
        if self.container not in names:
            wanted = (
                f"no container {self.container}" if self.container else "several containers, so `container` must say"
            )
            raise Inconclusive(f"{self.of} has {wanted}: {', '.join(names)}")
        return names.index(self.container)


def _trouble(pod: Object, now: float) -> Iterator[str]:
    """What keeps a pod from being ready, other than that it is just starting. ``now`` is Unix seconds."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    if _ready(pod):
        return
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield f"{name} is not scheduled: {scheduled.get('message', scheduled.get('reason'))}"
    for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
        current = container.get("state", {})
        waiting = current.get("waiting", {})
        if waiting and waiting.get("reason") not in _STARTING:
            yield f"{name}/{container['name']} waits: {waiting['reason']} {waiting.get('message', '')}".strip()
        ended = current.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
        if ended and ended.get("exitCode"):
            yield f"{name}/{container['name']} ended with exit code {ended['exitCode']}"
        started = current.get("running", {}).get("startedAt")
        running_for = now - parse_kubernetes_time(started) if started else 0.0
        if not container.get("ready") and running_for >= UNREADY_SECONDS:
            yield f"{name}/{container['name']} has run for {running_for:.0f} s and is not ready"


def _ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _owned_by(item: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or ())


def _revision(item: Object) -> int:
    return int((item["metadata"].get("annotations") or {}).get(REVISION, 0))

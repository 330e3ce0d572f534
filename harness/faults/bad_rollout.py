"""Rolls out a version that cannot work: an image that does not exist, or a pod template broken by a patch.

Undone by restoring the pod template of the good revision's ReplicaSet, as ``kubectl rollout undo`` does, and verified
by reading it again. The journal names that ReplicaSet and never contains the template, whose environment may hold
secrets. A template that another client has rolled out since stays. How long the old version takes to be available again
is measured by the probes.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.owners import HASH_LABEL, is_owned_by
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.common.waiting import wait_until
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, WorkloadManifests, container_exists
from harness.faults.rollout_trouble import stalled, troubles
from harness.faults.targets import WorkloadTarget
from harness.model.timeline import Victim
from harness.safety.guard import check_victims
from harness.safety.guard.rollouts import may_lose

REVISION = "deployment.kubernetes.io/revision"
# An annotation of the Deployment while the fault is injected: it marks the template as this fault's change.
MARK = "resilience.harness/bad-rollout"
# For how long a change is retried that conflicts with changes of the Deployment's status.
CONFLICT_SECONDS = 5.0
_HARMLESS = ", as after a harmless change: set badThoughReady: true if the version is bad although its pods are ready"


@dataclass(frozen=True, slots=True)
class Revision:
    """A Deployment's revision, and how many of its pods a rollout may remove before new ones are ready."""

    number: int
    may_lose: int


class BadRollout(WorkloadTarget, Fault):
    """Change a Deployment's pod template to one that does not work.

    It has taken effect when a pod of the new revision fails, cannot be created, or the rollout has stalled. Pods that
    become ready are no evidence, since those of a harmless change do too. A version that becomes ready and is still
    bad, for example because it answers with errors, is declared with ``badThoughReady``.
    """

    kind: ClassVar[str] = "badRollout"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "image": "does-not:exist"}
    effect: ClassVar[Effect] = Effect.WORKLOADS
    kinds: ClassVar[tuple[str, ...]] = ("deployment",)

    image: str | None = Field(default=None, min_length=1, description="image to roll out, such as does-not:exist")
    container: str | None = Field(
        default=None, description="container whose image is changed; required when the pods have several"
    )
    patch: dict[str, Any] | None = Field(
        default=None, min_length=1, description="strategic merge patch of the pod template, instead of an image"
    )
    bad_though_ready: bool = Field(
        default=False,
        description="whether the version is bad although its pods become ready; a ready pod is then evidence",
    )

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        if (self.image is None) == (self.patch is None):
            found = "neither" if self.image is None else "both"
            raise ValueError(f"found {found} of image and patch, expected exactly one")
        if self.container is not None and self.image is None:
            raise ValueError("found container without image: it names the container whose image is changed")
        return self

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield a workload that is not there, and a container that its pods do not have."""
        yield from super().needs_of(workload)
        yield from container_exists(self.container, workload.of(self.of), workload)

    @property
    def permissions(self) -> frozenset[Permission]:
        reads = allow(REPLICA_SETS, "get", "list") | allow(PODS, "list")
        return self.target_permissions | allow(self.resource, "patch") | reads

    def takes(self, victim: Victim) -> int:
        """Return how many pods the Deployment's strategy lets a rollout remove before a new pod is ready. If a bad
        version becomes ready, the rollout goes on and removes all old pods, which cannot be predicted."""
        return victim.state_before(Revision).may_lose

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        if self.image is not None:
            self._container_index(found)
        _check_way_back(context, found, self.of)
        before = Revision(_revision(found), may_lose(found))
        lost = f", a rollout may take {before.may_lose} of its pods" if before.may_lose else ""
        return (Victim("Deployment", self.name, found["metadata"]["uid"], f"revision {before.number}{lost}", before),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            # Read again, since the Deployment may have changed since the choice.
            found = self.find_workload(context.api, context.namespace)
            good = _check_way_back(context, found, self.of)["metadata"]
            # No part of the template, which may hold secrets: the journal is on disk, in a ConfigMap and in the report.
            parameters = {
                "namespace": context.namespace,
                "name": self.name,
                "uid": victim.uid,
                "generation": found["metadata"]["generation"],
                "revision": _revision(found),
                "replicaSet": good["name"],
                "replicaSetUid": good["uid"],
                "podTemplateHash": (good.get("labels") or {}).get(HASH_LABEL, ""),
                "mark": secrets.token_hex(8),
            }
            context.journal.write(self.kind, f"roll {self.of} back to revision {_revision(found)}", parameters)
            after = self._roll_out(context, found, victim.uid, parameters["mark"])
            # The API server raises the generation only if the patch really changed the spec.
            if after["metadata"]["generation"] == found["metadata"]["generation"]:
                raise Inconclusive(f"no-op: {self.of} already has this pod template, so the rollout changed nothing")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven if a pod of a ReplicaSet newer than the revision before fails or cannot be created, if the rollout to
        it has stalled, or, with ``badThoughReady``, if one of its pods is ready: the workload's probes then accept a
        bad version, which is the effect of this fault."""
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        before = victim.state_before(Revision).number
        sets = context.api.list(REPLICA_SETS, context.namespace).items
        newer = [item for item in sets if is_owned_by(item, victim.uid) and _revision(item) > before]
        if not newer:
            return False, f"{self.of} has no ReplicaSet newer than revision {before}"
        newest = max(newer, key=_revision)
        uid = newest["metadata"]["uid"]
        pods = [pod for pod in context.api.list(PODS, context.namespace).items if is_owned_by(pod, uid)]
        trouble = [text for pod in pods for text in troubles(pod, context.clock.wall())]
        trouble += [
            f"its pods cannot be created: {condition.get('message')}"
            for condition in newest.get("status", {}).get("conditions", ())
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]
        name = newest["metadata"]["name"]
        trouble += stalled(self.find_workload(context.api, context.namespace), name)
        ready = [pod["metadata"]["name"] for pod in pods if holds(pod, "Ready")]
        if self.bad_though_ready:
            trouble += [f"{pod} counts as ready: nothing stopped it" for pod in ready]
        healthy = f"{len(pods)} pods, none in trouble, {len(ready)} ready{_HARMLESS if ready else ''}"
        return bool(trouble), f"revision {_revision(newest)}, ReplicaSet {name}: {'; '.join(trouble) or healthy}"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Restore the good template if the current one is this fault's: the mark shows that the fault was injected, and
        the revision that no other pod template was rolled out after it."""
        api, name, namespace = cluster.api, parameters["name"], parameters["namespace"]
        of, revision = f"deployment/{name}", int(parameters["revision"])
        found = api.find(DEPLOYMENTS, name, namespace)
        if found is None or found["metadata"]["uid"] != parameters["uid"]:
            return f"{of} is gone: nothing to roll back"
        if (found["metadata"].get("annotations") or {}).get(MARK) != parameters["mark"]:
            return f"{of} does not have this fault's annotation: the fault was never injected, or it is undone already"
        generation = found["metadata"]["generation"]
        observed = found.get("status", {}).get("observedGeneration", 0) >= generation
        # With the mark and exactly one change since the journal entry, the change is the fault's. Otherwise the
        # revision decides, which the controller must have updated first.
        if not observed and generation != parameters["generation"] + 1:
            raise NotYet(f"{of} has changed and its controller has not observed it: it is unknown who changed it")
        template = _template_of(api.find(REPLICA_SETS, parameters["replicaSet"], namespace), parameters)
        if found["spec"]["template"] == template:
            _undo_entries(api, found, parameters, None)
            return f"{of} has the pod template of revision {revision}"
        # The bad rollout itself became revision + 1.
        if _revision(found) > revision + 1:
            _undo_entries(api, found, parameters, None)
            return f"{of} is at revision {_revision(found)}: rolled out by another client since, not touched"
        if template is None:
            raise HarnessError(
                f"{of} cannot be rolled back: replicaset/{parameters['replicaSet']}, which kept the pod template of "
                f"revision {revision}, is gone"
            )
        _undo_entries(api, found, parameters, template)
        if api.get(DEPLOYMENTS, name, namespace)["spec"]["template"] != template:
            raise HarnessError(f"{of} does not have the pod template that was restored")
        return f"{of} was rolled back to the pod template of revision {revision}"

    def _roll_out(self, context: FaultContext, found: Object, uid: str, mark: str) -> Object:
        template = self.patch
        if template is None:
            container = found["spec"]["template"]["spec"]["containers"][self._container_index(found)]["name"]
            template = {"spec": {"containers": [{"name": container, "image": self.image}]}}
        at = found["metadata"]

        def change() -> tuple[Object | None, str]:
            nonlocal at
            # The UID and the resourceVersion in a merge patch are preconditions: the server refuses it on another
            # object of that name, and after a change since the journal entry. The annotation is the Deployment's, not
            # the template's: it is written together with the change, and causes no rollout.
            metadata = {"uid": uid, "resourceVersion": at["resourceVersion"], "annotations": {MARK: mark}}
            body = {"metadata": metadata, "spec": {"template": template}}
            try:
                return context.api.patch(
                    DEPLOYMENTS, self.name, body, context.namespace, strategy="strategic-merge"
                ), ""
            except ApiError as error:
                now = self.find_workload(context.api, context.namespace)["metadata"] if error.status == 409 else at
                # The resourceVersion also changes with the status, often in a busy cluster; the generation does not.
                if now["generation"] != at["generation"] or now["resourceVersion"] == at["resourceVersion"]:
                    raise
                at = now
                return None, str(error)

        return wait_until(f"{self.of} to take the change", change, CONFLICT_SECONDS, context.clock)

    def _container_index(self, deployment: Object) -> int:
        names = [container["name"] for container in deployment["spec"]["template"]["spec"]["containers"]]
        if self.container is None and len(names) == 1:
            return 0
        if self.container not in names:
            problem = f"no container {self.container}" if self.container else "several containers, set `container`"
            raise Inconclusive(f"{self.of} has {problem}: {', '.join(names)}")
        return names.index(self.container)


def _check_way_back(context: FaultContext, deployment: Object, of: str) -> Object:
    """Return the ReplicaSet that keeps the current pod template, from which undo restores it.

    Raises Inconclusive when there is none, or when it may be gone by then.
    """
    spec, uid = deployment["spec"], deployment["metadata"]["uid"]
    if spec.get("paused"):
        raise Inconclusive(f"{of} is paused: it would not roll out anything")
    if spec.get("revisionHistoryLimit") == 0:
        # If a bad version becomes ready, its rollout completes, and the good ReplicaSet is removed.
        raise Inconclusive(
            f"{of}: found revisionHistoryLimit: 0, expected at least 1: the ReplicaSet that undo restores the pod "
            "template from would not be kept"
        )
    for item in context.api.list(REPLICA_SETS, context.namespace).items:
        same = is_owned_by(item, uid) and _revision(item) == _revision(deployment)
        if same and _without_hash(item["spec"]["template"]) == spec["template"]:
            return item
    raise Inconclusive(
        f"{of} has no ReplicaSet with its current pod template: its controller has not rolled it out yet, so undo "
        "could not restore it"
    )


def _template_of(replica_set: Object | None, parameters: Mapping[str, Any]) -> Object | None:
    """Return the good pod template; None when the ReplicaSet that kept it is gone."""
    if replica_set is None or replica_set["metadata"]["uid"] != parameters["replicaSetUid"]:
        return None
    return _without_hash(replica_set["spec"]["template"])


def _without_hash(template: Object) -> Object:
    """Return a ReplicaSet's pod template as its Deployment has it, without the hash label."""
    metadata = template["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _undo_entries(api: KubeApi, found: Object, parameters: Mapping[str, Any], template: Object | None) -> None:
    """Remove the mark and restore a template, if one is given. Raises NotYet if ``found`` is no longer current."""
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": parameters["uid"]},
        # The generation changes with the spec, and not with the status, which changes often during a rollout.
        {"op": "test", "path": "/metadata/generation", "value": found["metadata"]["generation"]},
        # RFC 6901: a slash within a key is written as ~1 in a JSON pointer.
        {"op": "remove", "path": f"/metadata/annotations/{MARK.replace('/', '~1')}"},
    ]
    if template is not None:
        patch.append({"op": "replace", "path": "/spec/template", "value": template})
    try:
        api.patch(DEPLOYMENTS, parameters["name"], patch, parameters["namespace"], strategy="json")
    except ApiError as error:
        # The API server answers 422 if a "test" of a JSON patch fails.
        if error.status != 422:
            raise
        raise NotYet(f"deployment/{parameters['name']} has changed meanwhile: {error}") from error


def _revision(item: Object) -> int:
    return int((item["metadata"].get("annotations") or {}).get(REVISION, 0))

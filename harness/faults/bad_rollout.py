"""Rolls out a version that cannot work: an image that does not exist, or a pod template broken by a patch.

Undone by putting the pod template of the good revision's ReplicaSet back, which is what ``kubectl rollout undo`` does;
it is verified that the API shows it again. The journal names that ReplicaSet and never holds the template, whose
environment may hold secrets. A template that somebody else has rolled out since is left alone. How long the old version
takes to be fully back is for the observers to say.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from harness.cluster.api import KubeApi, Object
from harness.cluster.conditions import holds
from harness.cluster.permissions import Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from harness.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.fault import Evidence, Fault, FaultContext
from harness.faults.rollout_trouble import stalled, troubles
from harness.guard import check_victims
from harness.guard.rollouts import may_lose
from harness.observation import Victim
from harness.target import WorkloadTarget
from harness.waiting import wait_until

REVISION = "deployment.kubernetes.io/revision"
HASH_LABEL = "pod-template-hash"
# On the Deployment while the fault is there: tells the fault's own change from every other.
MARK = "resilience.harness/bad-rollout"
# For how long a change is tried again that met one of the Deployment's status.
CONFLICT_SECONDS = 5.0
_HARMLESS = ", as after a harmless change: a version that is bad all the same needs badThoughReady: true"
_BEFORE = re.compile(r"revision (\d+)")
_LOST = re.compile(r"may take (\d+) of its pods")


class BadRollout(WorkloadTarget, Fault):
    """Change a Deployment's pod template to one that does not work.

    It has bitten when a pod of the new revision is in trouble, cannot be made, or the rollout has stalled. Pods that
    become ready are no evidence: so would those of a harmless change. What is bad about a version that passes for
    ready, such as errors in its answers, only its author knows, and says so with ``badThoughReady``.
    """

    kind: ClassVar[str] = "badRollout"
    kinds: ClassVar[tuple[str, ...]] = ("deployment",)

    image: str | None = Field(None, min_length=1, description="image to roll out, such as does-not:exist")
    container: str | None = Field(None, description="whose image; needed when the pods have several containers")
    patch: dict[str, Any] | None = Field(
        None, min_length=1, description="strategic merge patch of the pod template, instead of an image"
    )
    bad_though_ready: bool = Field(
        False, description="the version is bad even where its pods count as ready, which is then evidence enough"
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
        return self.target_permissions | allow(self.resource, "patch") | allow(REPLICA_SETS, "get") | seen

    def takes(self, victim: Victim) -> int:
        """What the Deployment's strategy lets a rollout take away before anything new is ready. That a bad version
        passes for ready, and all the others go, only shows when it happens."""
        return _number(_LOST, victim.detail)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        if self.image is not None:
            self._container_index(found)
        _check_way_back(context, found, self.of)
        lost = may_lose(found)
        detail = f"revision {_revision(found)}" + (f", a rollout may take {lost} of its pods" if lost else "")
        return (Victim("Deployment", self.name, found["metadata"]["uid"], detail),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found = self.find_workload(context.api, context.namespace)
            good = _check_way_back(context, found, self.of)["metadata"]
            # No part of the template: a journal lies on disk and in a ConfigMap, and is kept with a run.
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
            if after["metadata"]["generation"] == found["metadata"]["generation"]:
                raise Inconclusive(f"{self.of} is that way already: rolling it out changed nothing")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """A pod of a ReplicaSet newer than the revision before is in trouble or could not even be made, the rollout to
        it has stalled, or a pod of it is ready that should not be: a workload that lets a version pass which is
        ``badThoughReady`` is what the experiment wants to hear of."""
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        before = _number(_BEFORE, victim.detail)
        sets = context.api.list(REPLICA_SETS, context.namespace).items
        newer = [item for item in sets if _owned_by(item, victim.uid) and _revision(item) > before]
        if not newer:
            return False, f"{self.of} has no ReplicaSet newer than revision {before}"
        newest = max(newer, key=_revision)
        uid = newest["metadata"]["uid"]
        pods = [pod for pod in context.api.list(PODS, context.namespace).items if _owned_by(pod, uid)]
        trouble = [text for pod in pods for text in troubles(pod, context.clock.wall())]
        trouble += [
            f"its pods cannot be made: {condition.get('message')}"
            for condition in newest.get("status", {}).get("conditions", ())
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]
        name = newest["metadata"]["name"]
        trouble += stalled(self.find_workload(context.api, context.namespace), name)
        ready = [pod["metadata"]["name"] for pod in pods if holds(pod, "Ready")]
        if self.bad_though_ready:
            trouble += [f"{pod} counts as ready: nothing stopped it" for pod in ready]
        seen = (
            "; ".join(trouble) or f"{len(pods)} pods, none in trouble, {len(ready)} ready{_HARMLESS if ready else ''}"
        )
        return bool(trouble), f"revision {_revision(newest)}, ReplicaSet {name}: {seen}"

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        """Put the good template back, if the present one is this fault's: the mark says that it came about, and the
        revision that no other pod template has come after it."""
        api, name, namespace = cluster.api, parameters["name"], parameters["namespace"]
        of, revision = f"deployment/{name}", int(parameters["revision"])
        found = api.find(DEPLOYMENTS, name, namespace)
        if found is None or found["metadata"]["uid"] != parameters["uid"]:
            return f"{of} is gone: nothing to roll back"
        if (found["metadata"].get("annotations") or {}).get(MARK) != parameters["mark"]:
            return f"{of} does not carry this fault's mark: it never came about, or it has been taken back"
        generation = found["metadata"]["generation"]
        seen = found.get("status", {}).get("observedGeneration", 0) >= generation
        # With the mark, and one change since the journal, it is the fault's own; else only its revision tells.
        if not seen and generation != parameters["generation"] + 1:
            raise NotYet(f"{of} has changed and its controller has not seen it: whose change it is cannot be told")
        template = _template_of(api.find(REPLICA_SETS, parameters["replicaSet"], namespace), parameters)
        if found["spec"]["template"] == template:
            _take_back(api, found, parameters, None)
            return f"{of} has the pod template of revision {revision}"
        if _revision(found) > revision + 1:
            _take_back(api, found, parameters, None)
            return f"{of} is at revision {_revision(found)}: somebody else has rolled out since, left alone"
        if template is None:
            raise HarnessError(
                f"{of} cannot be rolled back: replicaset/{parameters['replicaSet']}, which kept the pod template of "
                f"revision {revision}, is gone"
            )
        _take_back(api, found, parameters, template)
        if api.get(DEPLOYMENTS, name, namespace)["spec"]["template"] != template:
            raise HarnessError(f"{of} does not show the pod template that was put back")
        return f"{of} was rolled back to the pod template of revision {revision}"

    def _roll_out(self, context: FaultContext, found: Object, uid: str, mark: str) -> Object:
        template = self.patch
        if template is None:
            container = found["spec"]["template"]["spec"]["containers"][self._container_index(found)]["name"]
            template = {"spec": {"containers": [{"name": container, "image": self.image}]}}
        at = found["metadata"]

        def change() -> tuple[Object | None, str]:
            nonlocal at
            # The UID and the version in a merge patch are preconditions: the server refuses it on another object of
            # that name, and after a change that the journal knows nothing of. The mark is the Deployment's and not the
            # template's: it comes about with the change, and changes no pod.
            metadata = {"uid": uid, "resourceVersion": at["resourceVersion"], "annotations": {MARK: mark}}
            body = {"metadata": metadata, "spec": {"template": template}}
            try:
                return context.api.patch(
                    DEPLOYMENTS, self.name, body, context.namespace, strategy="strategic-merge"
                ), ""
            except ApiError as error:
                now = self.find_workload(context.api, context.namespace)["metadata"] if error.status == 409 else at
                # The version counts changes of the status too, which are nobody's doing and many in a busy cluster.
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
            wanted = (
                f"no container {self.container}" if self.container else "several containers, so `container` must say"
            )
            raise Inconclusive(f"{self.of} has {wanted}: {', '.join(names)}")
        return names.index(self.container)


def _check_way_back(context: FaultContext, deployment: Object, of: str) -> Object:
    """The ReplicaSet that keeps the pod template as it is now, from which it will be put back.

    Raises Inconclusive when none does, or when it may be gone by then.
    """
    spec, uid = deployment["spec"], deployment["metadata"]["uid"]
    if spec.get("paused"):
        raise Inconclusive(f"{of} is paused: it would roll nothing out")
    if spec.get("revisionHistoryLimit") == 0:
        # A bad version that passes for ready completes its rollout, and the good ReplicaSet is removed.
        raise Inconclusive(
            f"{of}: found revisionHistoryLimit: 0, expected at least 1: the ReplicaSet that a bad rollout is taken "
            "back from would not be kept"
        )
    for item in context.api.list(REPLICA_SETS, context.namespace).items:
        same = _owned_by(item, uid) and _revision(item) == _revision(deployment)
        if same and _without_hash(item["spec"]["template"]) == spec["template"]:
            return item
    raise Inconclusive(
        f"{of} has no ReplicaSet with its present pod template: its controller has not rolled it out yet, and there "
        "would be nothing to take a bad rollout back from"
    )


def _template_of(replica_set: Object | None, parameters: Mapping[str, Any]) -> Object | None:
    """The good pod template; None when the ReplicaSet that kept it is gone."""
    if replica_set is None or replica_set["metadata"]["uid"] != parameters["replicaSetUid"]:
        return None
    return _without_hash(replica_set["spec"]["template"])


def _without_hash(template: Object) -> Object:
    """A ReplicaSet's pod template as its Deployment has it."""
    metadata = template["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _take_back(api: KubeApi, found: Object, parameters: Mapping[str, Any], template: Object | None) -> None:
    """Remove the mark, and put a template back, if one is given, where nothing has changed since it was looked at."""
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": parameters["uid"]},
        # It counts changes of the spec, and not those of the status, which are many while pods come and go.
        {"op": "test", "path": "/metadata/generation", "value": found["metadata"]["generation"]},
        {"op": "remove", "path": f"/metadata/annotations/{MARK.replace('/', '~1')}"},
    ]
    if template is not None:
        patch.append({"op": "replace", "path": "/spec/template", "value": template})
    try:
        api.patch(DEPLOYMENTS, parameters["name"], patch, parameters["namespace"], strategy="json")
    except ApiError as error:
        if error.status != 422:
            raise
        raise NotYet(f"deployment/{parameters['name']} has changed meanwhile: {error}") from error


def _owned_by(item: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in item["metadata"].get("ownerReferences") or ())


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1]) if found else 0


def _revision(item: Object) -> int:
    return int((item["metadata"].get("annotations") or {}).get(REVISION, 0))

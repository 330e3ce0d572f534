"""Changes or creates any object of a namespace: settings in a ConfigMap, a Service, a budget, a custom resource.

The given fields are merged into the object as by ``kubectl patch --type=merge``. Undone by restoring their former
values, or by deleting an object that it created. Values that another client has changed since stay. The undo journal
holds the former values, so a Secret is refused. What removes pods has faults that the guard can check, so pod templates
(``rollout``) and numbers of replicas (``scale``) are refused too. The janitor may not undo it for every kind of object;
``harness sweep`` does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from harness.cluster.kube.client import Object
from harness.cluster.kube.patches.strategic import merge_patch
from harness.cluster.kube.permissions import Permission, allow, resource_of
from harness.cluster.kube.resources import Resource
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.needs import Need, WorkloadManifests, workload_exists
from harness.faults.unchanged import patch_unchanged
from harness.model.timeline import Victim
from harness.safety.guard import check_victims

# An annotation of the object while it is changed.
MARK = "resilience.harness/applied"
# What no kind of object may have in its name, since the name is a part of a URL.
_NOT_IN_NAMES = re.compile(r"[/%]|^\.{1,2}$")
_REFUSED = {"template": "rollout", "replicas": "scale"}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _check_object(value: dict[str, Any]) -> dict[str, Any]:
    metadata: Any = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    given = {"apiVersion": value.get("apiVersion"), "kind": value.get("kind"), "metadata.name": name}
    wrong = [f"{key}: {text!r}" if text else f"no {key}" for key, text in given.items() if not _is_text(text)]
    if wrong:
        raise ValueError(f"found {' and '.join(wrong)}, expected text for each of {', '.join(given)}")
    if _NOT_IN_NAMES.search(str(name)):
        raise ValueError(f"found metadata.name: {name!r}, expected a name without / and %, and not only dots")
    if value["kind"] in {"Secret", "Pod"}:
        raise ValueError(f"found the kind {value['kind']}, which is not supported")
    if "namespace" in metadata:
        raise ValueError("found metadata.namespace: the object is in the namespace of the experiment")
    if not resource_of(value["apiVersion"], value["kind"]).namespaced:
        raise ValueError(f"found {value['kind']}, which belongs to no namespace")
    return value


class Apply(Fault):
    """Change fields of an object, or create one, on purpose."""

    kind: ClassVar[str] = "apply"
    example: ClassVar[Mapping[str, Any]] = {
        "object": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "podinfo"},
            "spec": {"minReadySeconds": 5},
        }
    }
    effect: ClassVar[Effect] = Effect.WORKLOADS
    on_purpose: ClassVar[bool] = True

    object: Annotated[dict[str, Any], AfterValidator(_check_object)] = Field(
        description="apiVersion, kind and metadata.name of the object, and the fields to set; null removes a field"
    )
    create: bool = Field(default=False, description="whether to create the object, which must not exist yet")

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        spec: Any = self.object.get("spec")
        for field, fault in _REFUSED.items() if isinstance(spec, dict) and not self.create else ():
            if field in spec:
                raise ValueError(f"found spec.{field} of {self.of}: use the fault {fault}, which the guard can check")
        return self

    @property
    def of(self) -> str:
        """The object as ``kind/name``."""
        return f"{self.object['kind'].lower()}/{self.object['metadata']['name']}"

    @property
    def workloads(self) -> Sequence[str]:
        return () if self.create else (self.of,)

    def needs_of(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield an object that is not there."""
        if not self.create:
            for place, message in workload_exists("object", self.of, workload):
                yield place, f"{message}; to create it, set create: true"

    @property
    def permissions(self) -> frozenset[Permission]:
        verbs = ("get", "create", "delete") if self.create else ("get", "patch")
        return allow(resource_of(self.object["apiVersion"], self.object["kind"]), *verbs)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self._find(context)
        check_victims([found] if found else [], context.namespace)
        if found is None:
            return (Victim(self.object["kind"], self.object["metadata"]["name"], ""),)
        if not self._differs(found):
            raise Inconclusive(f"no-op: {self.of} already has these values")
        return (Victim(found["kind"], found["metadata"]["name"], found["metadata"]["uid"]),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found, mark = self._find(context), secrets.token_hex(8)
            marked = merge_patch(self.object, {"metadata": {"annotations": {MARK: mark}}})
            parameters = {
                "namespace": context.namespace,
                "apiVersion": self.object["apiVersion"],
                "kind": self.object["kind"],
                "name": victim.name,
                "mark": mark,
            }
            if found is None:
                context.journal.write(self.kind, f"delete {self.of}", parameters)
                context.api.create(_resource(context.cluster, parameters), marked, context.namespace)
                continue
            before = _former(found, self._fields)
            context.journal.write(
                self.kind, f"restore {self.of}", parameters | {"before": before, "after": dict(self._fields)}
            )
            patch_unchanged(context, _resource(context.cluster, parameters), found, marked, uid=victim.uid)

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven if the object has the values."""
        for victim in victims:
            found = context.api.find(
                context.api.discover(self.object["apiVersion"], self.object["kind"]), victim.name, context.namespace
            )
            if found is None or self._differs(found):
                return Evidence(proven=False, text=f"{self.of} does not have the values")
        return Evidence(proven=bool(victims), text=f"{self.of} has the values" if victims else "nothing was hit")

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        of, namespace = f"{parameters['kind'].lower()}/{parameters['name']}", parameters["namespace"]
        resource = _resource(cluster, parameters)
        found = cluster.api.find(resource, parameters["name"], namespace)
        if found is None:
            return f"{of} is gone: nothing to undo"
        metadata = found["metadata"]
        if (metadata.get("annotations") or {}).get(MARK) != parameters["mark"]:
            return f"{of} does not have this fault's annotation: the fault was never injected, or it is undone already"
        before = parameters.get("before")
        if before is None:
            cluster.api.delete(resource, parameters["name"], namespace, uid=metadata["uid"])
            return f"{of} is deleted"
        ours = merge_patch(found, parameters["after"]) == found
        restored = before if ours else {}
        former = restored.get("metadata") or {}
        annotations = {**(former.get("annotations") or {}), MARK: None}
        unchanged = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        patch = {**restored, "metadata": {**former, **unchanged, "annotations": annotations}}
        try:
            after = cluster.api.patch(resource, parameters["name"], patch, namespace)
        except ApiError as error:
            if error.status != 409:
                raise
            raise NotYet(f"{of} has changed meanwhile: {error}") from error
        if not ours:
            return f"{of} was changed by another client since, not touched"
        if merge_patch(after, before) != after:
            raise HarnessError(f"{of} does not have its former values")
        return f"{of} has its former values"

    @property
    def _fields(self) -> Mapping[str, Any]:
        """What is changed of an existing object."""
        metadata = {key: value for key, value in self.object["metadata"].items() if key != "name"}
        fields = {key: value for key, value in self.object.items() if key not in {"apiVersion", "kind", "metadata"}}
        return fields | ({"metadata": metadata} if metadata else {})

    def _differs(self, found: Object) -> bool:
        return bool(merge_patch(found, dict(self._fields)) != found)

    def _find(self, context: FaultContext) -> Object | None:
        """Return the object, or None if it is to be created. Raises Inconclusive."""
        resource = context.api.discover(self.object["apiVersion"], self.object["kind"])
        found = context.api.find(resource, self.object["metadata"]["name"], context.namespace)
        if self.create and found is not None:
            raise Inconclusive(
                f"{self.of} exists already in namespace {context.namespace}, expected none (create: true)"
            )
        if not self.create and found is None:
            raise Inconclusive(
                f"there is no {self.of} in namespace {context.namespace}: to create it, set create: true"
            )
        return found


def _resource(cluster: Cluster, parameters: Mapping[str, Any]) -> Resource:
    return cluster.api.discover(parameters["apiVersion"], parameters["kind"])


def _former(found: object, patch: object) -> object:
    """Return the merge patch that restores what ``patch`` changes: the former values, null where there was none."""
    if not isinstance(patch, Mapping) or not isinstance(found, Mapping):
        return found
    return {key: _former(found.get(key), value) for key, value in patch.items()}

"""Sets a workload's number of replicas, as a manual ``kubectl scale`` would.

Undone by setting the old number again, unless it was changed in the meantime: then the newer number stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.completeness import observed_generation
from harness.cluster.kube.owners import workload_of
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS, WORKLOADS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.departure import still_ending
from harness.faults.needs import Need, WorkloadManifests
from harness.faults.targets import WorkloadTarget
from harness.model.quantities import counted
from harness.model.timeline import Victim
from harness.safety.guard import check_victims

# The API has 32 bits for it.
MOST_REPLICAS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Replicas:
    """A workload's ``spec.replicas``."""

    number: int


class Scale(WorkloadTarget, Fault):
    """Change the number of replicas."""

    kind: ClassVar[str] = "scale"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "replicas": 0}
    effect: ClassVar[Effect] = Effect.WORKLOADS
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset", "rollout")

    replicas: int = Field(ge=0, le=MOST_REPLICAS, description="number of replicas to set")

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(self.resource, "patch") | allow(PODS, "list")

    def lasting(self, workload: WorkloadManifests) -> Iterator[Need]:
        """Yield the volume claims that a StatefulSet makes for more replicas, and keeps when they are removed."""
        for pods in workload.of(self.of):
            spec = pods.item.get("spec") or {}
            policy = (spec.get("persistentVolumeClaimRetentionPolicy") or {}).get("whenScaled")
            before = int(spec.get("replicas", 1))
            if spec.get("volumeClaimTemplates") and policy != "Delete" and self.replicas > before:
                claims = f"{self.of} has {counted(before, 'replica')} and makes a volume claim for each further one"
                why = f"{claims}, which would stay after the fault (whenScaled: {policy or 'Retain'})"
                yield ("replicas",), f"found {self.replicas}, expected at most {before} in an existing namespace: {why}"

    def takes(self, victim: Victim) -> int:
        return max(0, victim.state_before(Replicas).number - self.replicas)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        before = _replicas(found)
        if before == self.replicas:
            raise Inconclusive(f"no-op: {self.of} already has {counted(self.replicas, 'replica')}")
        uid, detail = found["metadata"]["uid"], counted(before, "replica")
        return (Victim(found["kind"], self.name, uid, detail, Replicas(before)),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            before = _replicas(self.find_workload(context.api, context.namespace))
            parameters = {
                "namespace": context.namespace,
                "of": self.of,
                "uid": victim.uid,
                "before": before,
                "after": self.replicas,
            }
            context.journal.write(self.kind, f"set {self.of} back to {counted(before, 'replica')}", parameters)
            try:
                _set_replicas(context.api, parameters, before, self.replicas)
            except ApiError as error:
                # The API server answers 422 if a "test" of a JSON patch fails.
                if error.status != 422:
                    raise
                raise Inconclusive(f"{self.of} was changed by another client meanwhile: {error}") from error

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven once the controller has observed the new number and has begun to add or remove pods."""
        wanted = self.replicas
        for victim in victims:
            found = self.find_workload(context.api, context.namespace)
            status = found.get("status", {})
            running = int(status.get("replicas", 0))
            before = victim.state_before(Replicas).number
            text = f"{self.of} (it had {counted(before, 'replica')}) is set to {_replicas(found)} and has {running}"
            observed = (observed_generation(found) or 0) >= found["metadata"]["generation"]
            # A difference of one pod is enough: the controller has begun to follow, however slow it is.
            followed = running <= max(wanted, before - 1) if wanted < before else running >= min(wanted, before + 1)
            if found["metadata"]["uid"] != victim.uid or _replicas(found) != wanted or not (observed and followed):
                return Evidence(proven=False, text=text)
        return Evidence(proven=bool(victims), text=text if victims else "nothing was hit")

    def unfinished(self, context: FaultContext, victims: tuple[Victim, ...]) -> str:
        """Return the pods that scaling down has removed and that are still terminating."""
        if not any(self.takes(victim) for victim in victims):
            return ""
        return still_ending(
            pod for pod in context.api.list(PODS, context.namespace).items if workload_of(pod) == self.of
        )

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        of, before, after = parameters["of"], int(parameters["before"]), int(parameters["after"])
        found = _find(cluster.api, parameters)
        if found is None:
            return f"{of} is gone: nothing to set back"
        if _replicas(found) == after:
            try:
                _set_replicas(cluster.api, parameters, after, before)
            except ApiError as error:
                # Another client was faster, or an earlier try whose answer was lost succeeded: read the number again.
                if error.status != 422:
                    raise
            found = _find(cluster.api, parameters) or found
        if _replicas(found) == after:
            raise HarnessError(f"{of} was set back to {before} replicas and still has {after}")
        if _replicas(found) != before:
            return f"{of} has {_replicas(found)} replicas: changed by another client since, not touched"
        return f"{of} has its {before} replicas again"


def _replicas(workload: Object) -> int:
    return int(workload["spec"].get("replicas", 1))


def _find(api: KubeApi, parameters: Mapping[str, Any]) -> Object | None:
    kind, _, name = parameters["of"].partition("/")
    found = api.find(WORKLOADS[kind], name, parameters["namespace"])
    return found if found and found["metadata"]["uid"] == parameters["uid"] else None


def _set_replicas(api: KubeApi, parameters: Mapping[str, Any], expected: int, wanted: int) -> None:
    """Compare and set. Raises ApiError 422 if the number is not the expected one: another client has changed it."""
    kind, _, name = parameters["of"].partition("/")
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": parameters["uid"]},
        {"op": "test", "path": "/spec/replicas", "value": expected},
        {"op": "replace", "path": "/spec/replicas", "value": wanted},
    ]
    api.patch(WORKLOADS[kind], name, patch, parameters["namespace"], strategy="json")

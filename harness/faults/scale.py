"""Sets a workload's number of replicas: capacity that is taken away, or that appears, by somebody's hand.

Undone by setting the old number again, unless somebody else has changed it since: then theirs stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import Permission, allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import WORKLOADS
from harness.errors import ApiError, HarnessError, Inconclusive
from harness.fault import Evidence, Fault, FaultContext
from harness.guard import check_victims
from harness.observation import Victim
from harness.target import WorkloadTarget


class Scale(WorkloadTarget, Fault):
    """Change the number of replicas."""

    kind: ClassVar[str] = "scale"
    kinds: ClassVar[tuple[str, ...]] = ("deployment", "statefulset")

    replicas: int = Field(ge=0, description="the number to set")

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(self.resource, "patch")

    def takes(self, victim: Victim) -> int:
        return max(0, int(victim.detail.split()[0]) - self.replicas)

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        if _replicas(found) == self.replicas:
            raise Inconclusive(f"{self.of} has {self.replicas} replicas already: setting them would change nothing")
        return (Victim(found["kind"], self.name, found["metadata"]["uid"], f"{_replicas(found)} replicas"),)

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
            context.journal.write(self.kind, f"set {self.of} back to {before} replicas", parameters)
            try:
                _set_replicas(context.api, parameters, before, self.replicas)
            except ApiError as error:
                if error.status != 422:
                    raise
                raise Inconclusive(f"{self.of} was changed by somebody else meanwhile: {error}") from error

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """The controller has seen the new number and has begun to follow it."""
        wanted = self.replicas
        for victim in victims:
            found = self.find_workload(context.api, context.namespace)
            status = found.get("status", {})
            running = int(status.get("replicas", 0))
            text = f"{self.of} (it had {victim.detail}) is set to {_replicas(found)} and has {running}"
            before = int(victim.detail.split()[0])
            observed = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            followed = running <= max(wanted, before - 1) if wanted < before else running >= min(wanted, before + 1)
            if found["metadata"]["uid"] != victim.uid or _replicas(found) != wanted or not (observed and followed):
                return Evidence(proven=False, text=text)
        return Evidence(proven=bool(victims), text=text if victims else "nothing was hit")

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
                # Somebody was faster, or the first of two tries got through: what is there now tells.
                if error.status != 422:
                    raise
            found = _find(cluster.api, parameters) or found
        if _replicas(found) == after:
            raise HarnessError(f"{of} was set back to {before} replicas and still has {after}")
        if _replicas(found) != before:
            return f"{of} has {_replicas(found)} replicas: somebody else has set them since, left alone"
        return f"{of} has its {before} replicas again"


def _replicas(workload: Object) -> int:
    return int(workload["spec"].get("replicas", 1))


def _find(api: KubeApi, parameters: Mapping[str, Any]) -> Object | None:
    kind, _, name = parameters["of"].partition("/")
    found = api.find(WORKLOADS[kind], name, parameters["namespace"])
    return found if found and found["metadata"]["uid"] == parameters["uid"] else None


def _set_replicas(api: KubeApi, parameters: Mapping[str, Any], expected: int, wanted: int) -> None:
    """Compare and set: a number that somebody else has set is never overwritten, but answered with ApiError 422."""
    kind, _, name = parameters["of"].partition("/")
    patch: list[Object] = [
        {"op": "test", "path": "/metadata/uid", "value": parameters["uid"]},
        {"op": "test", "path": "/spec/replicas", "value": expected},
        {"op": "replace", "path": "/spec/replicas", "value": wanted},
    ]
    api.patch(WORKLOADS[kind], name, patch, parameters["namespace"], strategy="json")

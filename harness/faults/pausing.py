"""What pausing and resuming the rollouts of a Deployment have in common. Not a kind of fault.

Both change ``spec.paused``. As with changes of a pod template, an annotation of the Deployment has the value from
before the first of them and those in effect; undoing the last one restores that value, whatever the order.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.kube.client import Object
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import DEPLOYMENTS
from harness.cluster.protocol import Cluster
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet
from harness.faults.base import Effect, Evidence, Fault, FaultContext
from harness.faults.targets import WorkloadTarget
from harness.faults.unchanged import patch_unchanged
from harness.model.timeline import Victim
from harness.safety.guard import check_victims

# An annotation of the Deployment while it is paused or resumed.
MARK = "resilience.harness/paused-changes"


class Pausing(WorkloadTarget, Fault):
    """Sets whether the rollouts of a Deployment are paused."""

    effect: ClassVar[Effect] = Effect.WORKLOADS
    on_purpose: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = ("deployment",)
    paused: ClassVar[bool]

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(self.resource, "patch")

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        found = self.find_workload(context.api, context.namespace)
        check_victims([found], context.namespace)
        return (Victim(found["kind"], self.name, found["metadata"]["uid"], _state(is_paused(found))),)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        for victim in victims:
            found = self.find_workload(context.api, context.namespace)
            before = is_paused(found)
            if before is self.paused:
                raise Inconclusive(f"no-op: {self.of} is already {_state(before)}")
            mark = secrets.token_hex(8)
            original, marks = _read(found) or (before, [])
            what = f"set {self.of} back to {_state(original)}"
            parameters = {"namespace": context.namespace, "of": self.of, "uid": victim.uid, "mark": mark}
            context.journal.write(self.kind, what, parameters)
            annotations = {MARK: _text(original, [*marks, mark])}
            body: Object = {"metadata": {"annotations": annotations}, "spec": {"paused": self.paused}}
            patch_unchanged(context, DEPLOYMENTS, found, body, uid=victim.uid)

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven once the controller has observed the Deployment in this state."""
        for victim in victims:
            found = self.find_workload(context.api, context.namespace)
            observed = (found.get("status") or {}).get("observedGeneration", 0) >= found["metadata"]["generation"]
            text = f"{self.of} is {_state(is_paused(found))}{'' if observed else ', not observed by its controller'}"
            if found["metadata"]["uid"] != victim.uid or is_paused(found) is not self.paused or not observed:
                return Evidence(proven=False, text=text)
        return Evidence(proven=bool(victims), text=text if victims else "nothing was hit")

    @classmethod
    def undo(cls, cluster: Cluster, parameters: Mapping[str, Any]) -> str:
        of, namespace = str(parameters["of"]), parameters["namespace"]
        name = of.partition("/")[2]
        found = cluster.api.find(DEPLOYMENTS, name, namespace)
        if found is None or found["metadata"]["uid"] != parameters["uid"]:
            return f"{of} is gone: nothing to set back"
        known = _read(found)
        if known is None or parameters["mark"] not in known[1]:
            return f"{of} does not have this fault's annotation: the fault was never injected, or it is undone already"
        original, marks = known
        rest = [mark for mark in marks if mark != parameters["mark"]]
        metadata: Object = {"uid": parameters["uid"], "resourceVersion": found["metadata"]["resourceVersion"]}
        body: Object = {"metadata": metadata | {"annotations": {MARK: _text(original, rest) if rest else None}}}
        if not rest:
            # The API omits a false `paused`, so that null restores it exactly.
            body["spec"] = {"paused": original or None}
        try:
            after = cluster.api.patch(DEPLOYMENTS, name, body, namespace)
        except ApiError as error:
            if error.status != 409:
                raise
            raise NotYet(f"{of} has changed meanwhile: {error}") from error
        if rest:
            return f"{of} stays {_state(is_paused(after))} until its other changes are undone too"
        if is_paused(after) is not original:
            raise HarnessError(f"{of} is {_state(is_paused(after))}, expected {_state(original)}")
        return f"{of} is {_state(original)} as before"


def is_paused(deployment: Object) -> bool:
    """Return whether the rollouts of a Deployment are paused."""
    return bool(deployment["spec"].get("paused"))


def _state(paused: bool) -> str:
    return "paused" if paused else "not paused"


def _text(original: bool, marks: list[str]) -> str:
    return json.dumps({"paused": original, "marks": marks})


def _read(deployment: Object) -> tuple[bool, list[str]] | None:
    """Return whether it was paused before the first change, and the changes in effect; None if there are none."""
    text = (deployment["metadata"].get("annotations") or {}).get(MARK)
    try:
        values = json.loads(text or "")
        return bool(values["paused"]), [str(mark) for mark in values["marks"]]
    except (ValueError, TypeError, KeyError):
        return None

"""Rolls out a version that cannot work: an image that does not exist, or a pod template broken by a patch.

Undone by restoring the pod template of the revision before (see ``harness/faults/template_change.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.kube.conditions import holds
from harness.cluster.kube.owners import is_owned_by
from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS
from harness.faults.base import Evidence, FaultContext
from harness.faults.new_version import NewVersion
from harness.faults.revisions import keeper_of
from harness.faults.rollout_trouble import stalled, troubles
from harness.faults.template_change import Before
from harness.model.timeline import Victim

_HARMLESS = ", as after a harmless change: set badThoughReady: true if the version is bad although its pods are ready"


class BadRollout(NewVersion):
    """Change a workload's pod template to one that does not work.

    It has taken effect when a pod of the new revision fails, cannot be created, or the rollout has stalled. Pods that
    become ready are no evidence, since those of a harmless change do too. A version that becomes ready and is still
    bad, for example because it answers with errors, is declared with ``badThoughReady``.
    """

    kind: ClassVar[str] = "badRollout"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo", "image": "does-not:exist"}

    bad_though_ready: bool = Field(
        default=False,
        description="whether the version is bad although its pods become ready; a ready pod is then evidence",
    )

    @property
    def permissions(self) -> frozenset[Permission]:
        return super().permissions | allow(PODS, "list")

    def description(self) -> str:
        return f"bad rollout of {self.of}"

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven if a pod of the revision that the rollout made fails or cannot be created, if the rollout to it has
        stalled, or, with ``badThoughReady``, if one of its pods is ready: the workload's probes then accept a bad
        version, which is the effect of this fault."""
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        made, keeper = self.made(context, victim), keeper_of(self.of).kind
        if made is None:
            return False, f"{self.of} has no {keeper} newer than revision {victim.state_before(Before).number}"
        pods = [
            pod
            for pod in context.api.list(PODS, context.namespace).items
            if made.has(pod) and (keeper == "ReplicaSet" or is_owned_by(pod, victim.uid))
        ]
        trouble = [text for pod in pods for text in troubles(pod, context.clock.wall())]
        trouble += [
            f"its pods cannot be created: {condition.get('message')}"
            for condition in made.item.get("status", {}).get("conditions", ())
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True"
        ]
        trouble += stalled(self.find_workload(context.api, context.namespace), made.name)
        ready = [pod["metadata"]["name"] for pod in pods if holds(pod, "Ready")]
        if self.bad_though_ready:
            trouble += [f"{pod} counts as ready: nothing stopped it" for pod in ready]
        healthy = f"{len(pods)} pods, none in trouble, {len(ready)} ready{_HARMLESS if ready else ''}"
        return bool(trouble), f"revision {made.number}, {keeper} {made.name}: {'; '.join(trouble) or healthy}"

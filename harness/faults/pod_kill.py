"""Kills pods: deletes them through the API, back to back, so that several are lost in one event.

With ``gracePeriod: 0s`` the API server removes the pod at once and the kubelet kills its containers without a chance to
shut down, like a crash; without it the pod's own grace period applies. There is nothing to undo: the pod's controller
creates a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator

from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS
from harness.common.errors import ApiError, Inconclusive
from harness.faults.base import Evidence, FaultContext
from harness.faults.departure import Departure, fate
from harness.model.quantities import Duration
from harness.model.timeline import Victim


class PodKill(Departure):
    """Delete pods."""

    kind: ClassVar[str] = "podKill"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "count": "50%", "gracePeriod": "0s"}

    grace_period: Duration | None = Field(
        default=None,
        description="time to shut down, in whole seconds; 0s kills at once; by default the pod's own grace period",
    )

    @field_validator("grace_period")
    @classmethod
    def _whole_seconds(cls, value: float | None) -> float | None:
        if value is not None and value != int(value):
            raise ValueError(f"found {value:g} s, expected whole seconds, which is all that the API accepts")
        return value

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get", "delete")

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        self.write_undo(context, victims, "kill")
        grace = None if self.grace_period is None else int(self.grace_period)
        gone: list[str] = []
        for victim in victims:
            try:
                context.api.delete(PODS, victim.name, context.namespace, grace_seconds=grace, uid=victim.uid)
            except ApiError as error:
                # 409 means that another pod has the name now, so that the precondition on the UID failed.
                if error.status not in {404, 409}:
                    raise
                gone.append(victim.name)
        if gone:
            # Its absence would look like evidence although this fault did not cause it.
            raise Inconclusive(f"{', '.join(gone)} disappeared before it could be killed, not by this fault")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        fates = {victim: fate(context.api.find(PODS, victim.name, context.namespace), victim.uid) for victim in victims}
        text = "; ".join(
            f"{victim.name} (uid {victim.uid}) {found or 'is still there'}" for victim, found in fates.items()
        )
        return Evidence(proven=bool(fates) and all(fates.values()), text=text)

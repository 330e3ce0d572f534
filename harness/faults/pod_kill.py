"""Kills pods: deletes them through the API, back to back, so that several are lost in one event.

With ``gracePeriod: 0s`` the API forgets the pod at once and the kubelet kills its containers without asking them, as a
crash would; without it the pod's own grace period counts. Undone by the pod's owner, which makes a new one.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from harness.cluster.permissions import Permission, allow
from harness.cluster.resources import PODS
from harness.errors import ApiError, Inconclusive
from harness.fault import Evidence, FaultContext
from harness.faults.departure import Departure, fate
from harness.observation import Victim
from harness.quantities import Duration


class PodKill(Departure):
    """Delete pods."""

    kind: ClassVar[str] = "podKill"

    grace_period: Duration | None = Field(
        None, description="time to shut down, in whole seconds; 0s kills at once; the pod's own when left out"
    )

    @field_validator("grace_period")
    @classmethod
    def _whole_seconds(cls, value: float | None) -> float | None:
        if value is not None and value != int(value):
            raise ValueError(f"found {value:g} s, expected whole seconds: the API takes nothing finer")
        return value

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get", "delete")

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        self.write_undo(context, victims, "kill")
        grace = None if self.grace_period is None else int(self.grace_period)
        missed: list[str] = []
        for victim in victims:
            try:
                context.api.delete(PODS, victim.name, context.namespace, grace_seconds=grace, uid=victim.uid)
            except ApiError as error:
                if error.status not in {404, 409}:
                    raise
                missed.append(victim.name)
        if missed:
            # Its absence would look like evidence, though this fault never touched it.
            raise Inconclusive(f"{', '.join(missed)} had left by itself before it could be killed")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        seen = {victim: fate(context.api.find(PODS, victim.name, context.namespace), victim.uid) for victim in victims}
        text = "; ".join(
            f"{victim.name} (uid {victim.uid}) {found or 'is still there'}" for victim, found in seen.items()
        )
        return Evidence(proven=bool(seen) and all(seen.values()), text=text)

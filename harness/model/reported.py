"""Numbers reported by controllers: a number, or Unknown with the reason. Unknown is neither zero nor any number.

The API omits zeros from a status, and also fields that no controller has written yet. Both look the same in JSON, so
the probes record ``None`` for the second case, and objectives read every number through ``Status.count``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# The spec of these kinds has the desired number, so it is known before any controller has run. For a DaemonSet only the
# status has it: the number of nodes that should run the pod.
_WANTED_IN_SPEC = ("deployment", "statefulset", "rollout")
# The autoscaler's condition reasons for being disabled on purpose, and for failing to read the current number.
_SWITCHED_OFF, _CANNOT_SEE = "ScalingDisabled", "FailedGetScale"
# Conditions that explain a missing replica, and the statuses that mean a problem.
_TROUBLE = {
    "AbleToScale": ("False", "Unknown"),
    "ScalingActive": ("False", "Unknown"),
    "ScalingLimited": ("True", "Unknown"),
    "Progressing": ("False", "Unknown"),
    "Available": ("Unknown",),
    "ReplicaFailure": ("True", "Unknown"),
}


@dataclass(frozen=True, slots=True)
class Unknown:
    """The reason why a number is unknown. ``counted`` is the number if it is certain despite the missing report.

    It may violate a lower limit, but never proves that an upper limit is met.
    """

    reason: str
    counted: int | None = None


Reported = int | Unknown


@dataclass(frozen=True, slots=True)
class Status:
    """One observation of a workload or an autoscaler, with the values described in ``harness.model.timeline``."""

    subject: str
    at: float
    value: Mapping[str, Any]

    @property
    def gone(self) -> bool:
        """Whether the object was deleted."""
        return self.value.get("event") == "DELETED"

    @property
    def behind(self) -> Unknown | None:
        """Set if the controller has not observed the current generation yet: the numbers are those of an older one."""
        generation, observed = self.value.get("generation") or 0, self.value.get("observed_generation") or 0
        if observed >= generation:
            return None
        looked = f"only generation {observed}" if observed else "no generation"
        return Unknown(f"the controller of {self.subject} has observed {looked} of {generation}")

    def count(self, key: str) -> Reported:
        """Return the number ``key`` of the status."""
        if self.gone:
            return Unknown(f"{self.subject} was deleted", 0)
        unknown = self._unknown_to_autoscaler(key) if self._scales else self._unknown_to_controller(key)
        number = self.value.get(key)
        if unknown is None and number is None:
            unknown = Unknown(f"the status of {self.subject} has no number for {key}")
        return unknown or int(number or 0)

    @property
    def deadline_exceeded(self) -> bool:
        """Whether the Deployment reports that it made no progress for its progress deadline, for this generation."""
        found = self._condition("Progressing")
        exceeded = found.get("status") == "False" and found.get("reason") == "ProgressDeadlineExceeded"
        return exceeded and not self.behind

    @property
    def trouble(self) -> str:
        """The controller's conditions that explain a problem, joined by "; "; may be empty."""
        found = [name for name, bad in _TROUBLE.items() if self._condition(name).get("status") in bad]
        return "; ".join(self._condition_text(name) for name in found)

    @property
    def _scales(self) -> bool:
        return self.subject.startswith("hpa/")

    def _unknown_to_controller(self, key: str) -> Unknown | None:
        if key == "desired" and self.subject.startswith(_WANTED_IN_SPEC):
            return None
        if key == "available" and self._condition("Available").get("status") == "Unknown":
            return Unknown(self._condition_text("Available"))
        return self.behind

    def _unknown_to_autoscaler(self, key: str) -> Unknown | None:
        # The HPA controller never writes observedGeneration (Kubernetes 1.36); its conditions show what it cannot do.
        able, active = self._condition("AbleToScale"), self._condition("ScalingActive")
        if self.value.get(key) is None and not (able or active):
            return self._not_yet
        if able.get("status") in {"False", "Unknown"} and (key == "desired" or able.get("reason") == _CANNOT_SEE):
            return Unknown(self._condition_text("AbleToScale"))
        if key != "desired" or active.get("reason") == _SWITCHED_OFF:
            return None
        if active.get("status") in {"False", "Unknown"}:
            return Unknown(self._condition_text("ScalingActive"))
        # Zero is valid as a desired number only with minReplicas 0 (feature gate HPAScaleToZero); elsewhere it is the
        # missing value of a status that was never computed.
        least = self.value.get("min")
        if not self.value.get("desired") and (least is None or least > 0):
            return self._not_yet
        return None

    @property
    def _not_yet(self) -> Unknown:
        return Unknown(f"{self.subject} has not computed its desired replicas yet")

    def _condition(self, name: str) -> Mapping[str, Any]:
        return (self.value.get("conditions") or {}).get(name) or {}

    def _condition_text(self, name: str) -> str:
        condition = self._condition(name)
        parts = [f"{name} is {condition.get('status')}", condition.get("reason"), condition.get("message")]
        return ": ".join(str(part) for part in parts if part)

"""Cordons nodes: they take no new pods, and the pods on them stay.

As ``kubectl cordon`` does, for example to see where a lost pod is replaced when a node is under maintenance. Undone by
uncordoning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.faults.base import Effect, Evidence, FaultContext
from harness.faults.cordoning import Cordoning
from harness.model.timeline import Victim


class Cordon(Cordoning):
    """Make nodes unschedulable."""

    kind: ClassVar[str] = "cordon"
    example: ClassVar[Mapping[str, Any]] = {"hosting": "app=podinfo"}
    effect: ClassVar[Effect] = Effect.NODES

    def choose(self, context: FaultContext) -> tuple[Victim, ...]:
        return self.choose_victims(context)

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        self.cordon(context, list(victims))

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        outcomes = [self.cordoned(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

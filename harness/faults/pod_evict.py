"""Evicts pods through the eviction API, as ``kubectl drain`` does: the API server enforces disruption budgets.

A budget's refusal is an outcome, not an error: the pod stays, and the evidence names the budget. There is nothing to
undo: the pod's controller creates a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.kube.permissions import Permission, allow
from harness.cluster.kube.resources import PODS
from harness.common.errors import ApiError, Inconclusive
from harness.faults.base import Evidence, FaultContext
from harness.faults.departure import Departure, fate, forbidden_by_budget, refusal
from harness.model.timeline import Victim


class PodEvict(Departure):
    """Evict pods, one after the other."""

    kind: ClassVar[str] = "podEvict"
    example: ClassVar[Mapping[str, Any]] = {"selector": "app=podinfo", "count": 2}
    obeys_budgets: ClassVar[bool] = True

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, "create", part="eviction")

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        self.write_undo(context, victims, "evict")
        gone: list[str] = []
        for victim in victims:
            try:
                context.api.evict(victim.name, context.namespace, uid=victim.uid)
            except ApiError as error:
                # 409 means that another pod has the name now, so that the precondition on the UID failed.
                if error.status in {404, 409}:
                    gone.append(victim.name)
                elif not forbidden_by_budget(error):
                    raise
        if gone:
            raise Inconclusive(f"{', '.join(gone)} disappeared before it could be evicted, not by this fault")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven if every victim is gone or terminating, or a budget forbids its eviction (checked by a dry run)."""
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        now = context.api.find(PODS, victim.name, context.namespace)
        found = fate(now, victim.uid)
        if now is None or found:
            return True, f"{victim.name} (uid {victim.uid}) {found}"
        try:
            context.api.evict(victim.name, context.namespace, uid=victim.uid, dry_run=True)
        except ApiError as error:
            if not forbidden_by_budget(error):
                raise
            return True, f"{victim.name} stays: {refusal(error, now)}"
        return False, f"{victim.name} (uid {victim.uid}) is still there, and no budget forbids its eviction"

"""Evicts pods through the eviction API, as a drain does: disruption budgets are asked, and may say no.

A budget's refusal is an outcome, not an error: the pod stays, and the evidence names the budget. Undone by the pod's
owner, which makes a new one.
"""

from __future__ import annotations

from typing import ClassVar

from harness.cluster.permissions import Permission, allow
from harness.cluster.resources import PODS
from harness.errors import ApiError, Inconclusive
from harness.fault import Evidence, FaultContext
from harness.faults.departure import Departure, fate
from harness.observation import Victim

# The same status also tells a client that it asks too often; only the words tell the two apart.
_BUDGET = "disruption budget"


class PodEvict(Departure):
    """Evict pods, one after the other."""

    kind: ClassVar[str] = "podEvict"
    asks_budgets: ClassVar[bool] = True

    @property
    def permissions(self) -> frozenset[Permission]:
        return self.target_permissions | allow(PODS, "get") | allow(PODS, "create", part="eviction")

    def inject(self, context: FaultContext, victims: tuple[Victim, ...]) -> None:
        self.write_undo(context, victims, "evict")
        missed: list[str] = []
        for victim in victims:
            try:
                context.api.evict(victim.name, context.namespace, uid=victim.uid)
            except ApiError as error:
                if error.status in {404, 409}:
                    missed.append(victim.name)
                elif not _forbidden_by_budget(error):
                    raise
        if missed:
            raise Inconclusive(f"{', '.join(missed)} had left by itself before it could be evicted")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """A victim is gone or going, or a budget (asked once more, by a dry run) forbids that it goes."""
        outcomes = [self._outcome(context, victim) for victim in victims]
        text = "; ".join(text for _, text in outcomes)
        return Evidence(proven=bool(outcomes) and all(proven for proven, _ in outcomes), text=text)

    def _outcome(self, context: FaultContext, victim: Victim) -> tuple[bool, str]:
        found = fate(context.api.find(PODS, victim.name, context.namespace), victim.uid)
        if found:
            return True, f"{victim.name} (uid {victim.uid}) {found}"
        try:
            context.api.evict(victim.name, context.namespace, uid=victim.uid, dry_run=True)
        except ApiError as error:
            if not _forbidden_by_budget(error):
                raise
            return True, f"{victim.name} stays: {error}"
        return False, f"{victim.name} (uid {victim.uid}) is still there, and no budget forbids its eviction"


def _forbidden_by_budget(error: ApiError) -> bool:
    return error.status == 429 and _BUDGET in str(error)

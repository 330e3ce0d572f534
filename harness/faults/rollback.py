"""Rolls a workload back to an earlier revision, as ``kubectl rollout undo`` does: by hand or by a pipeline.

With ``when`` it is an automatic rollback: the response to a rollout that exceeds its progress deadline, or to errors.
Undone with the rollout that it reverts: the pod template from before the first of them is restored (see
``harness/faults/template_change.py``). Other than kubectl, it leaves the annotations of the workload as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from harness.cluster.kube.client import Object
from harness.common.errors import Inconclusive
from harness.faults.base import Evidence, FaultContext
from harness.faults.revisions import Revision, template_of
from harness.faults.template_change import Before, TemplateChange
from harness.model.timeline import Victim


class Rollback(TemplateChange):
    """Roll a workload back to its previous revision or a named one, on purpose, as ``kubectl rollout undo`` does.

    It has taken effect when the workload has the pod template of that revision and its controller has observed it. How
    long it takes to be complete is judged by ``rolledBack`` with ``since: rollback``.
    """

    kind: ClassVar[str] = "rollback"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo"}
    on_purpose: ClassVar[bool] = True

    to_revision: int | None = Field(
        default=None,
        ge=1,
        description="the number of the revision, as `kubectl rollout history` lists it; by default the previous one",
    )

    def description(self) -> str:
        return f"rollback of {self.of}"

    def template_patch(self, context: FaultContext, workload: Object, known: list[Revision]) -> Object:
        del context
        target = self._target(known)
        if target.template == template_of(workload):
            raise Inconclusive(f"no-op: {self.of} already has the pod template of revision {target.number}")
        return {"$patch": "replace", **target.template}

    def _target(self, known: list[Revision]) -> Revision:
        numbers = ", ".join(str(revision.number) for revision in known)
        if self.to_revision is None:
            if len(known) < 2:
                raise Inconclusive(f"{self.of} has no previous revision: found only revision {numbers}")
            return known[-2]
        for revision in known:
            if revision.number == self.to_revision:
                return revision
        raise Inconclusive(f"{self.of} has no revision {self.to_revision}: found {numbers}")

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        """Proven once a revision from before the rollback has a new number: the controller gives it to an earlier
        revision when the workload has its template again."""
        for victim in victims:
            made = self.made(context, victim)
            if made is None or made.name not in victim.state_before(Before).names:
                return Evidence(proven=False, text=f"{self.of} is not on an earlier revision")
            text = f"{self.of} is on the earlier revision {made.name}, which has the number {made.number} now"
        return Evidence(proven=bool(victims), text=text if victims else "nothing was hit")

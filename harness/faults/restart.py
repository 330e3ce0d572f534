"""Restarts all pods of a workload one after the other, as ``kubectl rollout restart`` does.

Undone by restoring the pod template without the annotation, which replaces the pods once more (see
``harness/faults/template_change.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.cluster.kube.client import Object
from harness.common.clock import iso
from harness.faults.base import FaultContext
from harness.faults.good_change import GoodChange
from harness.faults.revisions import Revision

# The one that kubectl writes.
ANNOTATION = "kubectl.kubernetes.io/restartedAt"


class Restart(GoodChange):
    """Restart the pods of a workload, on purpose, as ``kubectl rollout restart`` does.

    It has taken effect when all pods are new and available; with ``awaits: started``, when one of them exists.
    """

    kind: ClassVar[str] = "restart"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo"}

    def description(self) -> str:
        return f"restart of {self.of}"

    def template_patch(self, context: FaultContext, workload: Object, known: list[Revision]) -> Object:
        del workload, known
        return {"metadata": {"annotations": {ANNOTATION: iso(context.clock.wall())}}}

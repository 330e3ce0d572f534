"""Rolls out a version that works: a change that happens on purpose, under which the promises of rollouts are judged.

Undone by restoring the pod template of the revision before (see ``harness/faults/template_change.py``), which is
another rollout.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.faults.good_change import GoodChange
from harness.faults.new_version import NewVersion


class Rollout(GoodChange, NewVersion):
    """Roll out a good version of a workload, on purpose, as ``kubectl set image`` or ``kubectl apply`` would.

    It has taken effect when it is complete; with ``awaits: started``, when a pod of the new version exists.
    """

    kind: ClassVar[str] = "rollout"
    example: ClassVar[Mapping[str, Any]] = {
        "of": "deployment/podinfo",
        "patch": {"metadata": {"annotations": {"version": "2"}}},
    }

    def description(self) -> str:
        return f"rollout of {self.of}"

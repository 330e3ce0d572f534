"""Resumes the rollouts of a paused Deployment, as ``kubectl rollout resume`` does. Undone by restoring the setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.faults.pausing import Pausing


class Resume(Pausing):
    """Resume the rollouts of a paused Deployment, on purpose, as ``kubectl rollout resume`` does."""

    kind: ClassVar[str] = "resume"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo"}
    paused: ClassVar[bool] = False

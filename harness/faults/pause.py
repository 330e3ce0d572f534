"""Pauses the rollouts of a Deployment, as ``kubectl rollout pause`` does.

A running rollout stops where it is, and its progress deadline does not pass. With ``for`` it is resumed after that
time. Undone by restoring the setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from harness.faults.pausing import Pausing


class Pause(Pausing):
    """Pause the rollouts of a Deployment, on purpose, as ``kubectl rollout pause`` does."""

    kind: ClassVar[str] = "pause"
    example: ClassVar[Mapping[str, Any]] = {"of": "deployment/podinfo"}
    paused: ClassVar[bool] = True

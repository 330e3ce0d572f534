"""A first experiment before it is written: its parts, each with a comment that explains it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NOT_MEASURED = "not measured: a first guess, `harness new --measure` replaces it"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the objectives allow, and where the numbers come from. ``latency`` and ``recovery`` are in seconds."""

    availability: float = 0.98
    latency: float = 0.5
    recovery: int = 60
    origin: str = NOT_MEASURED

    @property
    def share(self) -> str:
        return f"{self.availability * 100:g}%"

    @property
    def below(self) -> str:
        return f"{round(self.latency * 1000)}ms"

    def slower(self, seconds: int) -> Limits:
        """Return the limits for pods that become ready so much later; measured ones already contain it."""
        return replace(self, recovery=self.recovery + seconds) if self.origin == NOT_MEASURED else self


@dataclass(frozen=True, slots=True)
class Commented:
    """A value of the file with the comment above it."""

    value: Any
    comment: str


@dataclass(frozen=True, slots=True)
class TwinDraft:
    """A twin: the patch makes the workload weaker, so that the objectives in ``breaks`` must be BROKEN."""

    name: str
    because: str
    patch: Mapping[str, Any]
    breaks: tuple[str, ...]
    safety: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """The parts of an experiment that depend on the fault. ``phases`` are in seconds.

    ``objectives`` have comments. ``twin`` is None if no weaker copy would differ, and ``no_twin`` is then the reason.
    """

    hypothesis: str
    fault: Commented
    objectives: tuple[Commented, ...]
    phases: Mapping[str, int]
    why_phases: str
    twin: TwinDraft | None = None
    no_twin: str = ""
    disruptive: bool = False
    safety: Mapping[str, Any] = field(default_factory=dict)

    @property
    def breaks(self) -> set[str]:
        """The kinds of its objectives."""
        return {kind for objective in self.objectives for kind in objective.value}


def tens(seconds: float) -> int:
    """Return seconds rounded up to the next ten."""
    return math.ceil(seconds / 10) * 10

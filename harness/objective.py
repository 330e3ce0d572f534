"""An objective is a pure predicate over a timeline: it reads what was seen and says a finding. It never measures.

The kinds stand in ``harness/objectives``, one file each, and are found by their place; other packages add theirs by the
entry point ``resilience.objectives``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from harness.observation import Timeline
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """What an objective says of a timeline.

    ``observed`` lies within ``low`` and ``high`` (measurement error or confidence bound), all in ``unit``;
    ``limit`` is the threshold and ``comparison`` says on which side of it is good (``>=`` or ``<=``).
    ``samples`` counts what the finding rests on. ``detail`` is for numbers beside the verdict.
    """

    verdict: Verdict
    reason: str
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""
    comparison: str = ""
    samples: int = 0
    detail: dict[str, str] = field(default_factory=dict)

    @property
    def margin(self) -> float | None:
        """How far the observation lies on the good side of the limit, in ``unit``; negative when beyond it."""
        if self.observed is None or self.limit is None:
            return None
        return self.observed - self.limit if self.comparison == ">=" else self.limit - self.observed


class Objective(BaseModel):
    """Frozen parameters, as written in an experiment, and one pure ``judge``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    kind: ClassVar[str]

    @property
    def title(self) -> str:
        """What the report calls it."""
        return self.kind

    @property
    def checks_baseline(self) -> bool:
        """Whether the steady state must meet it too, before anything is injected."""
        return False

    def pending(self, timeline: Timeline) -> str:
        """What this objective still waits for, asked a few times a second while the recovery phase runs; empty when
        the phase may end as far as this objective is concerned."""
        del timeline
        return ""

    @abstractmethod
    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        """Judge; ``phases`` overrides the phases of the objective (the baseline, for the steady state)."""

"""An objective is a pure predicate over a timeline: it reads what was seen and says a finding. It never measures.

The kinds stand in ``harness/objectives``, one file each, and are found by their place; other packages add theirs by the
entry point ``resilience.objectives``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.observation import Timeline
from harness.verdict import Verdict

# How many requests can be due in each phase of a running experiment, at most: those that were and those to come.
Due = Mapping[str, int]
# Why an objective can no longer hold, asked a few times a second while the fault is there; empty while it still can.
Breaches = Callable[[Timeline, Due], str]


@dataclass(frozen=True, slots=True)
class Beside:
    """The control arm's own finding. ``difference`` is the share of good requests less that of the control arm, in
    points, and lies within ``low`` and ``high``; None where there are no two shares to subtract."""

    finding: Finding
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an objective says of a timeline.

    ``observed`` lies within ``low`` and ``high`` (measurement error or confidence bound), all in ``unit``;
    ``limit`` is the threshold and ``comparison`` says on which side of it is good (``>=`` or ``<=``).
    ``samples`` counts what the finding rests on, and where it is a share of them ``good`` how many were good.
    ``detail`` is for numbers beside the verdict. ``beside`` is what the control arm had to say.
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
    good: int | None = None
    beside: Beside | None = None

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

    @property
    def checks_control(self) -> bool:
        """Whether a workload to which nothing is done must meet it too, so that a control arm can be asked."""
        return False

    @property
    def claims(self) -> int:
        """How many statements it makes that are only right with some confidence."""
        return 0

    def among(self, claims: int) -> Self:
        """The same objective as one of several in an experiment that make ``claims`` statements between them."""
        del claims
        return self

    def pending(self, timeline: Timeline) -> str:
        """What this objective still waits for, asked a few times a second while the recovery phase runs; empty when
        the phase may end as far as this objective is concerned."""
        del timeline
        return ""

    @abstractmethod
    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        """Judge; ``phases`` overrides the phases of the objective (the baseline, for the steady state)."""


class LiveObjective(Objective):
    """An objective that may turn out BROKEN for certain while the fault is still there."""

    abort_on_breach: bool = Field(
        False, strict=True, description="whether the fault is undone at once when the objective can no longer hold"
    )

    @abstractmethod
    def breached(self, timeline: Timeline, due: Due) -> str:
        """Why it can no longer hold, whatever is still to come; empty while it can. Pure, as judging is."""

    def breaches(self) -> Breaches:
        """``breached`` for one run; it may remember what it has read."""
        return self.breached

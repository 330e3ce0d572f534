"""The base of all objectives: pure functions from a timeline to a finding. An objective never measures anything.

The built-in kinds are in ``harness/objectives``, one file each, and are discovered there; other packages add kinds with
the entry point ``resilience.objectives``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict

# The maximum number of requests that can be due in each phase of a running experiment, past and future ones.
Due = Mapping[str, int]
# Returns why an objective can no longer hold, or "" while it can; called a few times a second during the fault phase.
Breaches = Callable[[Timeline, Due], str]


class Objective(BaseModel):
    """The parameters of an objective, as written in an experiment, and its pure function ``judge``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    kind: ClassVar[str]
    # Parameters as in an experiment: used by the contract tests, `harness explain` and docs/reference.md.
    example: ClassVar[Mapping[str, Any]] = {}
    # Whether no later observation can change a BROKEN, as when a time limit has passed: see ``overdue``.
    broken_is_final: ClassVar[bool] = False

    @property
    def title(self) -> str:
        """The name in reports."""
        return self.kind

    @property
    def checks_baseline(self) -> bool:
        """Whether the steady state must meet the objective too, before a fault is injected."""
        return False

    @property
    def checks_control(self) -> bool:
        """Whether a workload without a fault must meet the objective too, so that it applies to a control arm."""
        return False

    @property
    def claims(self) -> int:
        """The number of statements that hold only with a certain confidence."""
        return 0

    def among(self, claims: int) -> Self:
        """Return the objective with its confidence corrected for ``claims`` statements in the whole experiment."""
        del claims
        return self

    def unready(self, timeline: Timeline) -> str:
        """Return why the baseline cannot start yet: no controller has reported a number that this objective needs.

        Called a few times a second before the load starts; "" if the baseline may start.
        """
        del timeline
        return ""

    def pending(self, timeline: Timeline) -> str:
        """Return what this objective is still waiting for in the recovery phase; "" if the phase may end.

        Called a few times a second during the recovery phase.
        """
        del timeline
        return ""

    def overdue(self, timeline: Timeline) -> bool:
        """Return whether the objective is BROKEN for certain, although the run is not over.

        A twin or a mutant does not wait for it any longer: that it is BROKEN is all that counts.
        """
        return self.broken_is_final and self.judge(timeline).verdict is Verdict.BROKEN

    def awaits(self, timeline: Timeline) -> str:
        """Return what this objective still waits for while the faults are in effect; "" if the fault phase may end.

        Called a few times a second in a fault phase whose length is a range.
        """
        del timeline
        return ""

    @abstractmethod
    def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
        """Evaluate the timeline; ``phases`` overrides the objective's phases (the baseline, for the steady state)."""


class LiveObjective(Objective):
    """An objective that can be certain to be BROKEN while the fault is still active."""

    abort_on_breach: bool = Field(
        default=False, strict=True, description="undo the fault at once when the objective can no longer hold"
    )

    @abstractmethod
    def breached(self, timeline: Timeline, due: Due) -> str:
        """Return why the objective can no longer hold, whatever happens next; "" while it can. Pure, like ``judge``."""

    def breaches(self) -> Breaches:
        """Return ``breached`` for one run; the function may keep state between calls."""
        return self.breached

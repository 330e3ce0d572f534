"""The records of mutation testing: which weaknesses of its workload each experiment notices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.results.fact import Fact, Known

Outcome = Literal["caught", "survived", "undecided", "not judged"]


class MutantRecord(Fact):
    """One mutant of an experiment."""

    id: str = Field(description="the pytest node ID, as in mutants if it ran")
    operator: str = Field(description="the mutation operator, such as no-readiness-probe")
    weakened: list[str] = Field(default_factory=list, description="the objects that it changed; empty: unknown")
    outcome: Outcome = Field(
        description="caught: it came out BROKEN; survived: HELD; undecided: INCONCLUSIVE; not judged: it was left "
        "out, or its experiment did not hold"
    )
    reason: str = Field(default="", description="what the outcome means, or why there is none")
    caught_by: list[str] = Field(default_factory=list, description="titles of the objectives that were missed")
    twin: str = Field(default="", description="the twin with the same workload, which ran in its place; empty: none")


class MutatedRecord(Fact):
    """The mutants of one experiment."""

    id: str = Field(description="the pytest node ID of the experiment")
    name: str
    mutants: list[MutantRecord] = Field(default_factory=list)


class WeaknessRecord(Fact):
    """One thing taken away from the same objects, by the mutants of one or several experiments."""

    operator: str
    weakened: list[str] = Field(default_factory=list, description="the objects that lack it; empty: unknown")
    outcome: Outcome = Field(description="caught: by at least one experiment; survived: HELD in all that were judged")
    lost: str = Field(default="", description="what the objects lack, as the end of 'nothing notices that …'")
    caught_by: list[str] = Field(default_factory=list, description="names of the experiments that caught it")
    survived: list[str] = Field(default_factory=list, description="names of the experiments that did not notice it")


class MutationRecord(Fact):
    """The mutants of all experiments of a run. The counts are of weaknesses."""

    caught: int = 0
    survived: int = 0
    undecided: int = 0
    not_judged: int = 0
    score: Known = Field(
        default=None, description="percent that were caught of those that were caught or survived; null: there are none"
    )
    weaknesses: list[WeaknessRecord] = Field(default_factory=list)
    required: Known = Field(default=None, description="the least score in percent; null: none is required")
    experiments: list[MutatedRecord] = Field(default_factory=list)

    @property
    def missed(self) -> bool:
        """Whether a score is required and was not reached; without a judged mutant nothing was reached."""
        return self.required is not None and (self.score is None or self.score < self.required)

"""The record of an experiment that was skipped: it has no verdict, and does not count in the verdict of the run."""

from __future__ import annotations

from pydantic import Field

from harness.results.fact import Fact


class SkipRecord(Fact):
    """An experiment, twin or Python test that was selected, but not run."""

    id: str = Field(description="the pytest node ID")
    name: str
    twin: str = Field(
        default="",
        description="name of the twin; for a mutant, of the twin that has the same workload; empty: none",
    )
    mutant: str = Field(default="", description="mutation operator; empty: no mutant")
    weakened: list[str] = Field(
        default_factory=list, description="for a mutant: the objects that the operator would have changed, if known"
    )
    reason: str = Field(description="why it was skipped: guard, missing opt-in, missing capability or permission, halt")

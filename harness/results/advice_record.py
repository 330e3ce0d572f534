"""The record of advice: a likely cause of missed objectives, its evidence, and the change that removes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.results.fact import Fact


class AdviceRecord(Fact):
    """One likely cause of what an experiment missed."""

    rule: str = Field(description="the rule that found it, such as no-readiness-probe")
    cause: str
    evidence: str = Field(description="what was recorded that speaks for it")
    strength: Literal["observed", "likely", "possible"] = Field(
        description="observed: the recorded facts show it; likely: the settings explain it; possible: they allow it"
    )
    explains: list[str] = Field(default_factory=list, description="titles of the missed objectives that it explains")
    patch: dict[str, object] = Field(
        default_factory=dict,
        description="the change by kind/name: a strategic merge patch as in a twin, or an object to add",
    )

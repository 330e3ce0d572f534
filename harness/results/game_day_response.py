"""The stored response to each outage of a game day: detected, mitigated, recovered, and where each time comes from."""

from __future__ import annotations

from pydantic import Field

from harness.results.fact import Fact, Known


class MomentRecord(Fact):
    """When something happened, counted from the injection. An unknown time is null, never zero."""

    seconds: Known = Field(default=None, description="seconds after the injection; null: unknown")
    at: str = Field(default="", description="time of day, RFC 3339; empty: unknown")
    source: str = Field(default="", description="where the time comes from; empty: unknown")
    reason: str = Field(default="", description="why it is unknown; empty: it is known")
    others: list[str] = Field(default_factory=list, description="times of other sources")

    @property
    def known(self) -> bool:
        """Whether there is a time."""
        return self.seconds is not None


class ResponseRecord(Fact):
    """The response to the outage of one experiment."""

    experiment: str = Field(description="the experiment or twin with its round")
    injected: str = Field(description="time of day of the first injection, RFC 3339")
    detected: MomentRecord = Field(default_factory=MomentRecord)
    mitigated: MomentRecord = Field(default_factory=MomentRecord)
    recovered: MomentRecord = Field(default_factory=MomentRecord)


class SealRecord(Fact):
    """The sealed plan of a game day in surprise mode."""

    hash: str = Field(description="SHA-256 of the salt and the content, shown before the day began")
    salt: str = Field(default="", description="empty until the plan is opened")
    content: str = Field(default="", description="the plan as canonical JSON; empty until it is opened")
    command: str = Field(default="", description="shell command that prints the hash")

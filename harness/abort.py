"""Abort conditions: PromQL that ends the fault for safety's sake, before anybody asks whether an objective held.

An objective says what is promised; an abort condition says when to stop hurting. It is read as an alert's expression
is: nothing selected means that it does not apply, and any one series beyond the bound is enough. One that cannot be
read for a while is met: a safety net that nobody can see is none.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from harness.observation import Observation, Timeline
from harness.quantities import Duration, show_seconds

SERIES = "abort"
# Seconds without an answer after which a condition counts as unreadable.
BLIND = 10.0

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class AbortCondition(BaseModel):
    """The fault is undone at once when ``query`` is ``above`` or ``below`` a bound ``for`` some time."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    name: _Text = Field(description="what the report calls it")
    query: _Text = Field(description="PromQL; $namespace is the experiment's own")
    above: float | None = None
    below: float | None = None
    lasting: Duration = Field(0.0, alias="for", description="how long it must last, such as 3s")
    no_data: Literal["abort", "continue"] = Field("abort", description="what happens when it cannot be read for 10 s")

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("found both or neither of above and below, expected exactly one of them")
        if "$window" in self.query:
            raise ValueError("found $window, expected a range such as [10s]: the phase is not over when it is asked")
        return self

    def beyond(self, value: float) -> bool:
        """Whether one value is beyond the bound."""
        return value > self.above if self.above is not None else value < (self.below or 0.0)

    def met(self, timeline: Timeline, now: float) -> str:
        """Why the fault must end, or nothing. ``now`` is on the timeline; pure."""
        seen = timeline.observations(SERIES, self.name)
        answers = [one for one in seen if one.error is None]
        # A first question that hangs, or a watch that died over it, leaves nothing at all behind.
        first = seen[0].at if seen else timeline.phases[0].start if timeline.phases else now
        last = answers[-1].at if answers else first
        if now - last > BLIND and self.no_data == "abort":
            why = next((one.error for one in reversed(seen) if one.error), "no answer")
            return f"{self.name} could not be read for {show_seconds(now - last)}: {why}"
        return self._exceeded(answers)

    def _exceeded(self, answers: list[Observation]) -> str:
        since = None
        for one in reversed(answers):
            if not any(self.beyond(value) for value in one.value["values"]):
                break
            since = one.at
        if since is None or answers[-1].at - since < self.lasting:
            return ""
        bound = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
        values = answers[-1].value["values"]
        worst = max(values) if self.above is not None else min(values)
        lasting = f" for {show_seconds(answers[-1].at - since)}" if self.lasting else ""
        return f"{self.name} was {worst:g}, {bound}{lasting}"

"""Abort conditions: PromQL that ends a fault early for safety, whatever the objectives' verdicts will be.

An objective states what must hold; an abort condition states when the damage becomes too large. It is evaluated like an
alert expression: no selected series means that it is not met, and a single series beyond the bound is enough. A
condition that cannot be read for ``BLIND`` seconds counts as met, since it can no longer protect anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from harness.model.quantities import Duration, show_seconds
from harness.model.timeline import Observation, Timeline
from harness.prometheus.promql import checked_query

SERIES = "abort"
# Seconds without an answer after which a condition counts as unreadable.
BLIND = 10.0

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class AbortCondition(BaseModel):
    """A PromQL condition that undoes the faults at once when its value is above or below a bound for some time."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    name: _Text = Field(description="name of the condition in the report")
    query: Annotated[_Text, AfterValidator(checked_query)] = Field(
        description="PromQL query; $namespace is replaced by the experiment's namespace"
    )
    above: float | None = Field(
        default=None, description="abort if a value is above this bound; set either above or below"
    )
    below: float | None = Field(
        default=None, description="abort if a value is below this bound; set either above or below"
    )
    lasting: Duration = Field(
        default=0.0,
        alias="for",
        description="how long a value must stay beyond the bound, such as 3s; 0s: one value is enough",
    )
    no_data: Literal["abort", "continue"] = Field(
        default="abort", description="what to do if the query cannot be evaluated for 10 s"
    )

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("found both or neither of above and below, expected exactly one of them")
        if "$window" in self.query:
            raise ValueError("found $window, expected a range such as [10s]: the query runs before the phase ends")
        return self

    def beyond(self, value: float) -> bool:
        """Return whether a value is beyond the bound."""
        return value > self.above if self.above is not None else value < (self.below or 0.0)

    def met(self, timeline: Timeline, now: float) -> str:
        """Return why the fault must end; empty if it need not. ``now`` is in seconds on the timeline."""
        last = first = None
        for one in timeline.newest(SERIES, self.name):
            first = one.at
            if one.error is None:
                last = one.at
                break
        if first is None:
            # The first query may hang, or its thread may have died: count from the start of the timeline.
            first = timeline.phases[0].start if timeline.phases else now
        silent = now - (first if last is None else last)
        if silent > BLIND and self.no_data == "abort":
            why = next((one.error for one in timeline.newest(SERIES, self.name) if one.error), "no answer")
            return f"{self.name} could not be read for {show_seconds(silent)}: {why}"
        return self._exceeded(one for one in timeline.newest(SERIES, self.name) if one.error is None)

    def _exceeded(self, newest_first: Iterator[Observation]) -> str:
        last = since = None
        for one in newest_first:
            if not any(self.beyond(value) for value in one.value["values"]):
                break
            last, since = last or one, one.at
        if last is None or since is None or last.at - since < self.lasting:
            return ""
        bound = f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"
        values = last.value["values"]
        worst = max(values) if self.above is not None else min(values)
        lasting = f" for {show_seconds(last.at - since)}" if self.lasting else ""
        return f"{self.name} was {worst:g}, {bound}{lasting}"


def with_unique_names(conditions: list[AbortCondition]) -> list[AbortCondition]:
    """Return the conditions. Raises ValueError if two have one name, which is where their values are kept.

    With mixed values, a condition that stays beyond its bound would not be met.
    """
    names = [each.name for each in conditions]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ValueError(f"found the name {twice!r} twice, expected unique names")
    return conditions

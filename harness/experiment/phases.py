"""How long each phase of an experiment is: a fixed time, or a range for one that ends when nothing waits for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel

from harness.model.phase_names import BASELINE, FAULT, RECOVERY, SETTLE
from harness.model.quantities import Duration, read_duration, show_seconds


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)


class Length(_Part):
    """The bounds of the length of a phase."""

    at_least: Duration = Field(description="the phase does not end before this time, such as 10s")
    at_most: Duration = Field(description="the phase ends at this time at the latest, such as 25s")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most < self.at_least:
            low, high = show_seconds(self.at_least), show_seconds(self.at_most)
            raise ValueError(f"found atMost: {high} below atLeast: {low}, expected atMost to be at least atLeast")
        return self

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401
        return self.at_least if self.fixed else handler(self)

    @classmethod
    def of(cls, seconds: float) -> Self:
        """Return a length with no choice."""
        return cls(at_least=seconds, at_most=seconds)

    @property
    def fixed(self) -> bool:
        """Whether the phase has one length only."""
        return self.at_least == self.at_most

    def __str__(self) -> str:
        if not self.at_least and self.at_most:
            return f"at most {self.at_most:g} s"
        return f"{self.at_most:g} s" if self.fixed else f"{self.at_least:g} s to {self.at_most:g} s"


def _length(value: object, info: ValidationInfo) -> object:
    if isinstance(value, Length | Mapping):
        return value
    found = read_duration(value, info) if isinstance(value, str | int | float) else None
    if not isinstance(found, int | float) or not math.isfinite(found):
        expected = "expected a finite duration such as 20s, or {atLeast: 10s, atMost: 25s}"
        raise ValueError(f"found {value!r}, {expected}")
    return Length.of(found)


class Phases(_Part):
    """The durations of the phases, such as 30s."""

    baseline: Duration = Field(default=10.0, description="time before the fault; the steady state is measured in it")
    fault: Annotated[Length, BeforeValidator(_length, json_schema_input_type=Duration | Length)] = Field(
        default=Length.of(10.0),
        description="time between the injection of the faults and their undo; with atLeast and atMost the phase ends "
        "as soon as every fault was injected for the last time, has evidence, and no objective waits for anything",
    )
    recovery: Duration = Field(
        default=60.0,
        description="maximum time for the recovery; the phase ends as soon as every clock has seen the recovery",
    )
    settle: Duration = Field(
        default=5.0,
        description="how long the recovery must last; a relapse within this time means that it did not recover",
    )

    @property
    def total(self) -> float:
        """Return the seconds of all phases together, at most."""
        return sum(length.at_most for length in self.lengths().values())

    def length(self, name: str) -> Length:
        """Return the bounds of the length of a phase: the recovery may end at any time."""
        return self.lengths()[name]

    def lengths(self) -> dict[str, Length]:
        """Return the bounds of the length of each phase, in order."""
        return {
            BASELINE: Length.of(self.baseline),
            FAULT: self.fault,
            RECOVERY: Length(at_least=0.0, at_most=self.recovery),
            SETTLE: Length.of(self.settle),
        }

    def measured(self, name: str) -> float:
        """Return the seconds of a phase that a measurement in it can count on.

        For the recovery, which may end at any time, this is its maximum: a minimum would refuse every measurement."""
        length = self.length(name)
        return length.at_most if name == RECOVERY else length.at_least

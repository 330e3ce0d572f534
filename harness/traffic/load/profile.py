"""Load profiles: the share of an experiment's rate over time in each phase. Pure: no clock, no traffic.

A profile has *shares*, not rates, so that it fits experiments of any size. For each phase it defines a piecewise-linear
curve over the seconds since the start of the phase. Two points at the same time are a jump. After its last point a
curve keeps its last value, or repeats its last seconds. In a phase without a curve, the curve of the phase before it
continues.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.common.documents import load_document
from harness.common.errors import InputError
from harness.model.phase_names import BASELINE, PHASES
from harness.model.quantities import FROM_FILE, Duration, Share

# The name is also that of the file, so it has no characters that are special in paths.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$", max_length=63)]
PhaseName = Literal["baseline", "fault", "recovery", "settle"]
# Seconds. The schedule reads every period, so one that is far shorter than the time between arrivals would be costly.
LEAST_REPEAT = 0.1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Point(_Part):
    """A point of a curve: ``share`` of the experiment's rate (0 to 1), ``at`` seconds after the start of the phase."""

    at: Duration = Field(description="the time since the start of the phase, such as 10s")
    share: Share = Field(description="the share of the experiment's rate at this time, such as 50%")


class ProfileMetadata(_Part):
    name: Name = Field(description="the profile's name, which must be that of its file")


class Profile(_Part):
    """A load profile, as written in ``loadprofiles/<name>.yaml``."""

    api_version: Literal["resilience/v1"] = Field(
        default="resilience/v1", alias="apiVersion", description="the version of the file format"
    )
    kind: Literal["LoadProfile"] = Field(default="LoadProfile", description="the type of the file")
    metadata: ProfileMetadata = Field(description="the profile's name")
    description: str = Field(default="", description="what the profile is for")
    phases: Mapping[PhaseName, tuple[Point, ...]] = Field(
        description="the curve of each phase; a phase without one continues the curve of the phase before it"
    )
    repeat: Mapping[PhaseName, Annotated[Duration, Field(ge=LEAST_REPEAT)]] = Field(
        default_factory=dict,
        description="phases whose curve repeats its last seconds without end, and how many, such as {baseline: 20s}",
    )

    @property
    def name(self) -> str:
        return self.metadata.name

    @field_validator("phases")
    @classmethod
    def _curves_are_functions(
        cls, phases: Mapping[PhaseName, tuple[Point, ...]]
    ) -> Mapping[PhaseName, tuple[Point, ...]]:
        for phase, curve in phases.items():
            if not curve or curve[0].at != 0:
                raise ValueError(f"{phase}: the first point must be at 0s")
            if any(later.at < earlier.at for earlier, later in pairwise(curve)):
                raise ValueError(f"{phase}: the points must be sorted by time")
        return phases

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if BASELINE not in self.phases:
            raise ValueError(f"phases: {BASELINE} is missing: it defines the initial share of the load")
        if self.peak == 0:
            raise ValueError("phases: every share is 0, so there would be no load")
        return self

    @model_validator(mode="after")
    def _repeats_something(self) -> Self:
        for phase, seconds in self.repeat.items():
            if phase not in self.phases:
                raise ValueError(f"repeat: {phase} has no curve in phases, expected one to repeat")
            curve = self.phases[phase]
            if seconds > curve[-1].at:
                raise ValueError(
                    f"repeat: {phase}: found {seconds:g} s, expected at most the {curve[-1].at:g} s of its curve"
                )
            # The schedule would search for the next arrival forever.
            if not any(point.share for point in curve_between(curve, curve[-1].at - seconds, curve[-1].at)):
                raise ValueError(
                    f"repeat: {phase}: every share of the last {seconds:g} s is 0, expected a load to repeat"
                )
        return self

    @property
    def peak(self) -> float:
        """The largest share of any phase."""
        return max(point.share for curve in self.phases.values() for point in curve)

    def curve(self, phase: str) -> tuple[Point, ...]:
        """Return the curve of a phase, or of the last phase before it that has one."""
        return self.phases[self._phase_of_curve(phase)]

    def repeat_of(self, phase: str) -> float:
        """Return how many seconds the curve of a phase repeats after its last point; 0 if it keeps its last value."""
        return self.repeat.get(self._phase_of_curve(phase), 0.0)

    def _phase_of_curve(self, phase: str) -> PhaseName:
        earlier = PHASES[: PHASES.index(phase) + 1]
        named: dict[str, PhaseName] = {name: name for name in self.phases}
        return next(named[name] for name in reversed(earlier) if name in named)

    def names(self, phase: str) -> bool:
        """Return whether the profile defines a curve for this phase."""
        return phase in self.phases

    def arrivals_at_most(self, phase: str, seconds: float, rate: float) -> int:
        """Return an upper bound of the arrivals in ``seconds`` of a phase, whichever part of a curve applies there."""
        earlier = PHASES[: PHASES.index(phase) + 1]
        highest = max(point.share for name in earlier for point in self.curve(name))
        return ceil(rate * highest * seconds)

    def arrivals_per_second(self, phase: str, elapsed: float, rate: float) -> float:
        """Return the arrivals per second ``elapsed`` seconds into a phase, where a share of 1 is ``rate``."""
        curve, repeat = self.curve(phase), self.repeat_of(phase)
        if repeat and elapsed >= curve[-1].at:
            first = curve[-1].at - repeat
            elapsed = first + (elapsed - first) % repeat
        return rate * share_at(curve, elapsed)


def share_at(curve: tuple[Point, ...], elapsed: float) -> float:
    """Return the share of a curve ``elapsed`` seconds after its start; at a jump the later value."""
    # Right of equal points: at a jump the later one applies, and the points below never have the same time, which would
    # be a division by zero.
    after = bisect_right(curve, elapsed, key=lambda point: point.at)
    if after == 0:
        return curve[0].share
    if after == len(curve):
        return curve[-1].share
    left, right = curve[after - 1], curve[after]
    return left.share + (right.share - left.share) * (elapsed - left.at) / (right.at - left.at)


def curve_between(curve: tuple[Point, ...], start: float, end: float) -> tuple[Point, ...]:
    """Return the part of a curve between two times, with a point at each of them; its times begin at 0.

    At a jump at ``start`` it begins with the later value, at a jump at ``end`` it ends with the earlier one.
    """
    inner = [Point(at=point.at - start, share=point.share) for point in curve if start < point.at < end]
    before = bisect_left(curve, end, key=lambda point: point.at)
    # Up to the first point at ``end``: the later ones belong to what follows.
    last = share_at(curve[: before + 1], end)
    return (Point(at=0.0, share=share_at(curve, start)), *inner, Point(at=end - start, share=last))


def load_profile(file: Path) -> Profile:
    """Load the profile of a YAML file. Raises InputError with every problem and its line."""
    document = load_document(file)
    try:
        profile = Profile.model_validate(document.data, context=FROM_FILE)
    except ValidationError as error:
        raise InputError(document.problems(error, model=Profile)) from error
    if profile.name != file.stem:
        raise InputError([document.problem(("metadata", "name"), f"found {profile.name!r}, expected {file.stem!r}")])
    return profile

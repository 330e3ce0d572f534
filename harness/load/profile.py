"""A load profile: how much of an experiment's rate arrives, in each phase, as time passes. Pure: no clock, no traffic.

A profile says *shares*, not rates, so that one profile serves experiments of any size. In each phase it draws a
piecewise-linear curve over the seconds since that phase began; two points at the same time are a jump, and the last
value holds. A phase that the profile does not name lets the curve before it run on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from harness.documents import load_document
from harness.errors import InputError
from harness.observation import BASELINE, PHASES
from harness.quantities import Duration, Share

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-_a-z0-9]*[a-z0-9])?$", max_length=63)]
PhaseName = Literal["baseline", "fault", "recovery", "settle"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Point(_Part):
    """``share`` of the experiment's rate (0 to 1), ``at`` seconds after the phase began."""

    at: Duration
    share: Share


class ProfileMetadata(_Part):
    name: Name


class Profile(_Part):
    """A load profile as it stands in ``loadprofiles/<name>.yaml``."""

    api_version: Literal["resilience/v1"] = Field("resilience/v1", alias="apiVersion")
    kind: Literal["LoadProfile"] = "LoadProfile"
    metadata: ProfileMetadata
    description: str = ""
    phases: Mapping[PhaseName, tuple[Point, ...]]

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
                raise ValueError(f"{phase}: the points must stand in the order of their times")
        return phases

    @model_validator(mode="after")
    def _starts_somewhere(self) -> Self:
        if BASELINE not in self.phases:
            raise ValueError(f"phases: {BASELINE} is missing, so nothing says at what share the load begins")
        if self.peak == 0:
            raise ValueError("phases: every share is 0, so nothing would ever arrive")
        return self

    @property
    def peak(self) -> float:
        """The largest share of any phase."""
        return max(point.share for curve in self.phases.values() for point in curve)

    def curve(self, phase: str) -> tuple[Point, ...]:
        """The curve of a phase; of the nearest named one before it when the profile does not name it."""
        earlier = PHASES[: PHASES.index(phase) + 1]
        named = dict[str, tuple[Point, ...]](self.phases.items())
        return next(named[name] for name in reversed(earlier) if name in named)

    def names(self, phase: str) -> bool:
        """Whether the profile draws a curve of its own for this phase."""
        return phase in self.phases

    def arrivals_at_most(self, phase: str, seconds: float, rate: float) -> int:
        """No more arrivals than this are due in so many seconds of a phase, whatever part of a curve runs in it."""
        earlier = PHASES[: PHASES.index(phase) + 1]
        highest = max(point.share for name in earlier for point in self.curve(name))
        return ceil(rate * highest * seconds)

    def arrivals_per_second(self, phase: str, elapsed: float, rate: float) -> float:
        """The arrival rate ``elapsed`` seconds after a phase began, for an experiment of ``rate`` arrivals a second."""
        return rate * share_at(self.curve(phase), elapsed)


def share_at(curve: tuple[Point, ...], elapsed: float) -> float:
    """The share that a curve has at a time; at a jump the later value."""
    after = bisect_right(curve, elapsed, key=lambda point: point.at)
    if after == 0:
        return curve[0].share
    if after == len(curve):
        return curve[-1].share
    left, right = curve[after - 1], curve[after]
    return left.share + (right.share - left.share) * (elapsed - left.at) / (right.at - left.at)


def load_profile(file: Path) -> Profile:
    """The profile of a YAML file. Raises InputError with every problem, each with its line."""
    document = load_document(file)
    try:
        profile = Profile.model_validate(document.data)
    except ValidationError as error:
        raise InputError(document.problems(error)) from error
    if profile.name != file.stem:
        raise InputError([document.problem(("metadata", "name"), f"found {profile.name!r}, expected {file.stem!r}")])
    return profile

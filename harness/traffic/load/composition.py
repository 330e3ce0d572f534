"""``load: {profile: …}``: a profile by its name, changed in size or time, or several of them composed.

A composition becomes one ``Profile``, so that nothing else has to distinguish them. In each phase that one of its
profiles has a curve for, all of them begin again: one without a curve for it repeats its period, or keeps the last
value of its curve.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from harness.common.errors import InputError, Problem
from harness.model.phase_names import PHASES
from harness.model.quantities import Duration, Share, show_seconds
from harness.traffic.load.profile import (
    LEAST_REPEAT,
    PhaseName,
    Point,
    Profile,
    ProfileMetadata,
    curve_between,
    share_at,
)

# More would make the settings of the load process large and each look at the schedule slow.
MOST_POINTS = 10_000
# Times are sums of periods, equal ones only up to rounding: a microsecond is less than the schedule resolves.
_DECIMALS = 6


class _Changed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    share: Annotated[Share, Field(gt=0)] = Field(
        default=1.0, description="the share of the load's rate that is 100% of the profile"
    )
    compress: Annotated[float, Field(gt=0, le=1_000_000)] = Field(
        default=1.0,
        description="how many times faster than written: 1440 makes a day of a minute, 0.5 doubles all times",
    )


class ProfilePart(_Changed):
    """One of the profiles of a composition; text is its name."""

    name: str = Field(description="the name of a profile: that of a file in loadprofiles/, without .yaml")
    seconds: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None, alias="for", description="in a sequence: how long it lasts, such as 20s; the last one has no end"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, found: object) -> object:
        return {"name": found} if isinstance(found, str) else found

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made: dict[str, Any] = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string"}, made]}

    def __str__(self) -> str:
        lasts = f" for {show_seconds(self.seconds)}" if self.seconds is not None else ""
        return f"{self.name}{_changes(self)}{lasts}"


class ProfileSpec(_Changed):
    """A profile with changes, or several: added up (``sum``), or one after another in each phase (``sequence``)."""

    name: str | None = Field(
        default=None, description="the name of a profile: that of a file in loadprofiles/, without .yaml"
    )
    sum: Annotated[tuple[ProfilePart, ...], Field(min_length=2)] | None = Field(
        default=None, description="profiles that are added up; together at most 100%"
    )
    sequence: Annotated[tuple[ProfilePart, ...], Field(min_length=2)] | None = Field(
        default=None, description="profiles that follow each other in each phase; all but the last have for"
    )

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        given = [name for name in ("name", "sum", "sequence") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"found {' and '.join(given) or 'none of them'}, expected one of name, sum, sequence")
        for number, part in enumerate(self.sum or ()):
            if part.seconds is not None:
                raise ValueError(f"sum[{number}]: found for, expected it in a sequence alone")
        last = len(self.sequence or ()) - 1
        for number, part in enumerate(self.sequence or ()):
            if number < last and part.seconds is None:
                raise ValueError(
                    f"sequence[{number}]: for is missing, expected how long {part.name} lasts, such as 20s"
                )
            if number == last and part.seconds is not None:
                raise ValueError(f"sequence[{number}]: found for, expected none: the last one has no end")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all profiles in it."""
        return (self.name,) if self.name else tuple(part.name for part in self.sum or self.sequence or ())

    def __str__(self) -> str:
        if self.name:
            return f"{self.name}{_changes(self)}"
        text = ", then ".join(map(str, self.sequence)) if self.sequence else " + ".join(map(str, self.sum or ()))
        return f"({text}){changes}" if (changes := _changes(self)) else text

    def resolved(self, profile: Callable[[str], Profile]) -> Profile:
        """Return the profile; ``profile`` returns one by its name. Raises InputError."""
        problems: list[Problem] = []
        found: list[Profile] = []
        for name in self.names:
            try:
                found.append(profile(name))
            except InputError as error:
                problems += error.problems
        if problems:
            raise InputError(problems)
        parts = self.sum or self.sequence or (ProfilePart(name=self.names[0]),)
        curves: dict[PhaseName, _Curve] = {}
        for phase in _in_order(found):
            own = [
                _curve_in(one, phase).changed(part.share, part.compress) for one, part in zip(found, parts, strict=True)
            ]
            lengths = [part.seconds for part in parts[:-1]]
            try:
                made = _sum(own) if self.sum else _sequence(own, [seconds or 0.0 for seconds in lengths])
                curves[phase] = made.changed(self.share, self.compress).checked()
            except ValueError as error:
                raise InputError([Problem(f"{phase}: {error}")]) from error
        return _profile(curves, str(self))


@dataclass(frozen=True, slots=True)
class _Curve:
    """A curve with how many of its last seconds it repeats after its last point; 0: it keeps its last value."""

    points: tuple[Point, ...]
    repeat: float

    @property
    def end(self) -> float:
        return self.points[-1].at

    def changed(self, share: float, compress: float) -> _Curve:
        points = tuple(_unchecked(round(point.at / compress, _DECIMALS), point.share * share) for point in self.points)
        return _Curve(points, round(self.repeat / compress, _DECIMALS))

    def until(self, end: float) -> tuple[Point, ...]:
        """Return the points up to ``end``, where there is one; raises ValueError if that would be too many."""
        points = list(self.points)
        if self.repeat:
            period = curve_between(self.points, self.end - self.repeat, self.end)
            if (periods := math.ceil((end - self.end) / self.repeat)) * len(period) > MOST_POINTS:
                raise ValueError(_too_many(end))
            for number in range(periods):
                zero = self.end + number * self.repeat
                points += [_moved(point, round(zero + point.at, _DECIMALS)) for point in period]
        return curve_between(tuple(points), 0.0, end) if end else (points[0],)

    def checked(self) -> _Curve:
        """Return the curve as a profile may have it. Raises ValueError if it may not."""
        highest = max(self.points, key=lambda point: point.share)
        if highest.share > 1 + 1e-9:
            found = f"found a sum of {highest.share:.0%} at {show_seconds(highest.at)}"
            raise ValueError(f"{found}, expected at most 100%: give each profile a share")
        if 0 < self.repeat < LEAST_REPEAT:
            raise ValueError(
                f"found a period of {self.repeat:g} s, expected at least {LEAST_REPEAT:g} s: compress it less"
            )
        if len(self.points) > MOST_POINTS:
            raise ValueError(_too_many(self.end))
        # Sums such as 0.1 + 0.2 + 0.7 may be a rounding error above 1.
        return replace(self, points=tuple(Point(at=one.at, share=min(1.0, one.share)) for one in self.points))


def _unchecked(at: float, share: float) -> Point:
    # The share of a sum may be too large until ``checked`` has refused it with a better message.
    return Point.model_construct(at=at, share=share)


def _moved(point: Point, at: float) -> Point:
    return _unchecked(at, point.share)


def _too_many(end: float) -> str:
    return (
        f"found more than {MOST_POINTS:,} points until the profiles repeat together, after {show_seconds(end)}; "
        "expected periods with a small common multiple"
    )


def _changes(changed: _Changed) -> str:
    share = f"{changed.share * 100:g}%" if changed.share != 1 else ""
    faster = f"{changed.compress:g}× as fast" if changed.compress != 1 else ""
    text = ", ".join(filter(None, (share, faster)))
    return f" ({text})" if text else ""


def _in_order(profiles: Sequence[Profile]) -> Iterator[PhaseName]:
    named: Mapping[str, PhaseName] = {phase: phase for profile in profiles for phase in profile.phases}
    return (named[phase] for phase in PHASES if phase in named)


def _curve_in(profile: Profile, phase: PhaseName) -> _Curve:
    points, repeat = profile.curve(phase), profile.repeat_of(phase)
    if profile.names(phase):
        return _Curve(points, repeat)
    if repeat:
        return _Curve(curve_between(points, points[-1].at - repeat, points[-1].at), repeat)
    # Not from its start: the curve of another phase, such as a fall after a climb, would happen twice.
    return _Curve((_moved(points[-1], 0.0),), 0.0)


def _sum(curves: Sequence[_Curve]) -> _Curve:
    """Return the sum of curves, which repeats as soon as all of them do together."""
    last = max(curve.end for curve in curves)
    periods = [round(curve.repeat * 10**_DECIMALS) for curve in curves if curve.repeat]
    repeat = math.lcm(*periods) / 10**_DECIMALS if periods else 0.0
    end = round(last + repeat, _DECIMALS)
    whole = [curve.until(end) for curve in curves]
    points: list[Point] = []
    for at in sorted({point.at for each in whole for point in each}):
        before = sum(_share_before(each, at) for each in whole)
        after = sum(share_at(each, at) for each in whole)
        points.append(_unchecked(at, before))
        # At the very end a curve that repeats has only the value before the jump.
        if after != before and (at < end or not repeat):
            points.append(_unchecked(at, after))
    if not repeat:
        final = sum(curve.points[-1].share for curve in curves)
        points.append(_unchecked(end, final))
    return _Curve(tuple(points), repeat)


def _share_before(curve: tuple[Point, ...], at: float) -> float:
    """Return the share just before a time: at a jump the earlier value, at 0 the first one."""
    first = bisect_left(curve, at, key=lambda point: point.at)
    return share_at(curve[: first + 1], at)


def _sequence(curves: Sequence[_Curve], lengths: Sequence[float]) -> _Curve:
    """Return curves one after another; each but the last for its length in seconds."""
    points: list[Point] = []
    start = 0.0
    for curve, seconds in zip(curves, lengths, strict=False):
        points += [_moved(point, round(start + point.at, _DECIMALS)) for point in curve.until(seconds)]
        start += seconds
    points += [_moved(point, round(start + point.at, _DECIMALS)) for point in curves[-1].points]
    return _Curve(tuple(points), curves[-1].repeat)


def _profile(curves: Mapping[PhaseName, _Curve], description: str) -> Profile:
    # A period without any load is not repeated: a profile may not have one, and 0 is its last value anyway.
    repeat = {
        phase: curve.repeat
        for phase, curve in curves.items()
        if curve.repeat
        and any(point.share for point in curve_between(curve.points, curve.end - curve.repeat, curve.end))
    }
    try:
        return Profile(
            metadata=ProfileMetadata(name="composed"),
            description=description,
            phases={phase: curve.points for phase, curve in curves.items()},
            repeat=repeat,
        )
    except ValidationError as error:
        raise InputError([Problem(str(one["msg"])) for one in error.errors()]) from error

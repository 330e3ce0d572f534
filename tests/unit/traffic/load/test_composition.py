"""Composed profiles: their shares at any time are those of their parts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.common.errors import InputError
from harness.model.phase_names import PHASES
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.composition import ProfileSpec
from harness.traffic.load.profile import Profile
from tests.unit.traffic.load.test_profile import profile
from tests.unit.traffic.load.test_schedule import profiles

KNOWN = {
    "steady": profile(baseline=[(0, 1.0)]),
    "climb": profile(baseline=[(0, 0.0), (10, 1.0)]),
    "tooth": profile(baseline=[(0, 0.0), (4, 1.0)]).model_copy(update={"repeat": {"baseline": 4.0}}),
    "tooth3": profile(baseline=[(0, 0.0), (3, 1.0)]).model_copy(update={"repeat": {"baseline": 3.0}}),
    "odd": profile(baseline=[(0, 0.0), (4.001, 1.0)]).model_copy(update={"repeat": {"baseline": 4.001}}),
    "step": profile(baseline=[(0, 0.1)], fault=[(0, 1.0)], recovery=[(0, 0.1)]),
    "falls": profile(baseline=[(0, 0.5)], recovery=[(0, 1.0), (5, 0.1)]),
    "settles": profile(baseline=[(0, 0.0)], settle=[(0, 0.2)]),
}


def composed(**fields: Any) -> Profile:
    return ProfileSpec.model_validate(fields).resolved(KNOWN.__getitem__)


def shares(shape: Profile, *times: float, phase: str = "baseline") -> list[float]:
    return [shape.arrivals_per_second(phase, at, 1.0) for at in times]


def test_profile_is_compressed_and_scaled() -> None:
    shape = composed(name="tooth", compress=2, share="50%")
    assert shares(shape, 0, 1, 1.999, 2, 3, 101) == pytest.approx([0, 0.25, 0.5, 0, 0.25, 0.25], abs=1e-3)


def test_day_of_a_minute_has_the_shape_of_a_day() -> None:
    day, minute = Catalogue().profile("diurnal"), Catalogue().profile(ProfileSpec(name="diurnal", compress=1440))
    for hour in (0, 4, 12.5, 20, 23.75, 29):
        (found,), (expected,) = shares(minute, hour * 2.5), shares(day, hour * 3600)
        assert found == pytest.approx(expected)


def test_sum_has_the_jumps_of_every_part() -> None:
    shape = composed(sum=[{"name": "tooth", "share": "50%"}, {"name": "tooth3", "share": "50%"}])
    times = [0.0, 1.5, 2.999, 3.0, 3.999, 4.0, 6.0, 11.999, 12.0, 13.5, 1204.5]
    expected = [(at % 4 / 4 + at % 3 / 3) / 2 for at in times]
    assert shares(shape, *times) == pytest.approx(expected)
    assert shape.repeat == {"baseline": 12.0}


def test_part_that_ended_keeps_its_value_while_another_repeats() -> None:
    shape = composed(sum=[{"name": "climb", "share": "50%"}, {"name": "tooth", "share": "50%"}])
    expected = [(min(at, 10) / 10 + at % 4 / 4) / 2 for at in (3.0, 9.0, 10.0, 11.0, 12.0, 103.0)]
    assert shares(shape, 3.0, 9.0, 10.0, 11.0, 12.0, 103.0) == pytest.approx(expected)


def test_sum_steps_in_the_phases_of_any_part() -> None:
    shape = composed(sum=[{"name": "step", "share": "60%"}, {"name": "steady", "share": "40%"}])
    assert [shares(shape, 5, phase=name)[0] for name in PHASES] == pytest.approx([0.46, 1.0, 0.46, 0.46])


def test_fall_of_another_phase_does_not_happen_twice() -> None:
    shape = composed(sum=[{"name": "falls", "share": "80%"}, "settles"])
    assert shares(shape, 0, 5, phase="recovery") == pytest.approx([0.8, 0.08])
    assert shares(shape, 0, 5, phase="settle") == pytest.approx([0.28, 0.28])


def test_sequence_plays_each_part_for_its_time() -> None:
    shape = composed(sequence=[{"name": "steady", "for": 5, "share": "30%"}, {"name": "tooth", "for": 6}, "tooth3"])
    at = [0, 4.999, 5, 7, 8.999, 9, 10.999, 11, 12.5, 14, 15.5]
    expected = [0.3, 0.3, 0, 0.5, 1, 0, 0.5, 0, 0.5, 0, 0.5]
    assert shares(shape, *at) == pytest.approx(expected, abs=1e-3)


@settings(deadline=None)
@given(first=profiles(), second=profiles(), at=st.floats(0, 30))
def test_sum_is_the_sum_of_its_parts_at_any_time(first: Profile, second: Profile, at: float) -> None:
    known = {"a": first, "b": second}
    spec = ProfileSpec.model_validate({"sum": [{"name": name, "share": 0.5} for name in known]})
    shape = spec.resolved(known.__getitem__)
    both = [name for name in PHASES if first.names(name) and second.names(name)]
    for phase in both:
        # Curves are rounded to a microsecond: not at a jump.
        if all(abs(point.at - at) > 1e-5 for part in known.values() for point in part.curve(phase)):
            expected = sum(shares(part, at, phase=phase)[0] for part in known.values()) / 2
            assert shares(shape, at, phase=phase)[0] == pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "found none of them, expected one of name, sum, sequence"),
        ({"name": "steady", "sum": ["steady", "step"]}, "found name and sum, expected one of"),
        ({"sum": ["steady"]}, "at least 2"),
        ({"sequence": ["steady", "step"]}, "sequence[0]: for is missing, expected how long steady lasts, such as 20s"),
        ({"sequence": [{"name": "steady", "for": 1}, {"name": "step", "for": 1}]}, "sequence[1]: found for"),
        ({"sum": [{"name": "steady", "for": 1}, "step"]}, "sum[0]: found for, expected it in a sequence alone"),
        ({"name": "steady", "compress": 0}, "greater than 0"),
    ],
)
def test_composition_that_makes_no_sense_is_refused(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProfileSpec.model_validate(fields)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sum": ["steady", "tooth"]}, "baseline: found a sum of 200% at 4 s, expected at most 100%"),
        ({"sum": [{"name": "odd", "share": 0.5}, {"name": "tooth", "share": 0.5}]}, "found more than 10,000 points"),
        ({"name": "tooth", "compress": 100}, "found a period of 0.04 s, expected at least 0.1 s"),
    ],
)
def test_composition_that_cannot_be_resolved_is_an_error(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError) as caught:
        composed(**fields)
    assert expected in str(caught.value.problems[0])


def test_every_unknown_profile_of_a_composition_is_listed() -> None:
    spec = ProfileSpec.model_validate({"sum": ["stedy", "steady", "spke"]})
    with pytest.raises(InputError) as caught:
        Catalogue().profile(spec)
    assert [str(one).split("'")[1] for one in caught.value.problems] == ["stedy", "spke"]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": "diurnal", "compress": 1440}, "diurnal (1440× as fast)"),
        ({"sum": [{"name": "steady", "share": 0.3}, "spike"], "share": 0.5}, "(steady (30%) + spike) (50%)"),
        ({"sequence": [{"name": "sawtooth", "for": 20}, "steady"]}, "sawtooth for 20 s, then steady"),
    ],
)
def test_composition_is_described_in_a_line(fields: dict[str, Any], text: str) -> None:
    assert str(ProfileSpec.model_validate(fields)) == text

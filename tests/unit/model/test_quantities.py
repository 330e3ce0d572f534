"""Durations, shares and rates as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import TypeAdapter, ValidationError

from harness.model.quantities import Duration, Rate, Share, show_seconds

DURATION, SHARE, RATE = TypeAdapter(Duration), TypeAdapter(Share), TypeAdapter(Rate)


@pytest.mark.parametrize(
    ("text", "seconds"), [("200ms", 0.2), ("20s", 20), ("1m30s", 90), ("1h", 3600), ("0.5s", 0.5), (7, 7), (" 5s ", 5)]
)
def test_durations(text: object, seconds: float) -> None:
    assert DURATION.validate_python(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong", ["20", "s", "5 s", "-5s", "1d", "", "1s!", -1, True, None, math.inf, math.nan, "9" * 400 + "s"]
)
def test_invalid_duration_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(wrong)


@pytest.mark.parametrize(("text", "share"), [("99.9%", 0.999), ("0%", 0), ("100%", 1), ("5 %", 0.05), (0.25, 0.25)])
def test_shares(text: object, share: float) -> None:
    assert SHARE.validate_python(text) == pytest.approx(share)


@pytest.mark.parametrize("wrong", ["101%", "-1%", "99.9", 1.1, -0.1, True, math.nan, "%", "all"])
def test_invalid_share_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        SHARE.validate_python(wrong)


@pytest.mark.parametrize(("text", "rate"), [("50/s", 50), ("3000/m", 50), ("3600 / h", 1), (0.5, 0.5)])
def test_rates(text: object, rate: float) -> None:
    assert RATE.validate_python(text) == pytest.approx(rate)


@pytest.mark.parametrize("wrong", ["50", "50/d", "0/s", 0, -1, True, math.inf, math.nan, "x/s"])
def test_invalid_rate_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        RATE.validate_python(wrong)


@given(some.integers(0, 99), some.integers(0, 59), some.integers(0, 59))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert DURATION.validate_python(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 ms"),
        (0.34, "340 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (2.154, "2.15 s"),
        (5.0, "5 s"),
        (119.996, "2 min"),
        (179.6, "3 min"),
        (200, "3 min 20 s"),
        (3599.7, "1 h"),
        (-0.9996, "−1 s"),
        (-179.6, "−3 min"),
    ],
)
def test_durations_are_shown_readably(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


@given(some.floats(-1e6, 1e6), some.integers(0, 3), some.none() | some.floats(0, 1e4))
def test_no_unit_of_a_duration_is_full(seconds: float, decimals: int, against: float | None) -> None:
    """No number stands before ``ms``, ``s`` or ``min`` that would make a whole one of the next unit."""
    parts = show_seconds(seconds, decimals=decimals, against=against).replace(",", "").split(" ")
    numbers = {unit: abs(float(number.replace("−", "-"))) for number, unit in zip(parts[::2], parts[1::2], strict=True)}
    assert numbers.get("ms", 0) < 1000
    if len(numbers) > 1:
        assert numbers.get("s", 0) < 60
        assert numbers.get("min", 0) < 60

"""Quantities are read as Kubernetes does, and bounds of them are checked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.model.amounts import AmountRange, amount_of, amounts_of, show_amount


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("1", 1.0),
        ("0.5", 0.5),
        ("12n", 12e-9),
        ("3u", 3e-6),
        ("64Mi", 2**26),
        ("2e3", 2000.0),
        (2, 2.0),
    ],
)
def test_quantity_is_a_number(text: object, number: float) -> None:
    assert amount_of(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "m", "64 Mi", "64mb", "1.2.3", None])
def test_other_text_is_no_quantity(text: object) -> None:
    with pytest.raises(ValueError, match="expected a quantity such as 250m or 128Mi"):
        amount_of(text)


def test_lists_of_resources_may_be_missing() -> None:
    assert amounts_of(None) == {}
    assert amounts_of({"cpu": "250m"}) == {"cpu": 0.25}


@pytest.mark.parametrize(("amount", "inside"), [(0.099, False), (0.1, True), (0.15, True), (0.2, True), (0.201, False)])
def test_both_bounds_are_allowed_values(amount: float, inside: bool) -> None:
    assert AmountRange(atLeast="100m", atMost="200m").contains(amount) is inside


@pytest.mark.parametrize(
    ("bounds", "resource", "text"),
    [
        ({"atLeast": "100m", "atMost": "0.2"}, "cpu", "100m to 200m"),
        ({"atLeast": "64Mi"}, "memory", "at least 64Mi"),
        ({"atMost": "1Gi"}, "memory", "at most 1024Mi"),
    ],
)
def test_bounds_are_shown_as_kubernetes_has_them(bounds: dict[str, str], resource: str, text: str) -> None:
    assert AmountRange(**bounds).shown(resource) == text
    assert show_amount("cpu", 1.5) == "1500m"


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "found no bound, expected atLeast, atMost or both"),
        ({"atLeast": "2", "atMost": "1"}, "found atLeast above atMost"),
        ({"atLeast": "-1"}, "expected a quantity of at least 0"),
        ({"atLeast": True}, "found True, expected a quantity"),
        ({"atLeast": "lots"}, "found 'lots', expected a quantity"),
        ({"above": "1"}, "Extra inputs"),
    ],
)
def test_wrong_bounds_are_refused(bounds: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AmountRange(**bounds)


def test_bounds_survive_being_written_and_read() -> None:
    bounds = AmountRange(atLeast="100m")
    assert AmountRange(**bounds.model_dump(mode="json", by_alias=True)) == bounds

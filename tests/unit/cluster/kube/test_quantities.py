"""Kubernetes quantities."""

from __future__ import annotations

import pytest

from harness.cluster.kube.quantities import amount_of, bytes_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("128974848", 128974848),
        ("129e6", 129_000_000),
        ("129M", 129_000_000),
        ("123Mi", 123 * 1024**2),
        ("1.5Gi", 3 * 2**29),
        ("128974848000m", 128974848),
        ("1k", 1000),
        ("100m", 1),
    ],
)
def test_quantities_are_read_as_kubernetes_does(text: str, number: int) -> None:
    assert bytes_of(text) == number


@pytest.mark.parametrize("text", ["", "lots", "12mb", "-1Mi", "1 Mi", "1Ki2"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a quantity of bytes such as 128Mi"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("quantity", "number"), [("250m", 0.25), ("12345678n", 0.012345678), ("2", 2.0), (3, 3.0), ("1Ki", 1024.0)]
)
def test_quantities_are_numbers(quantity: object, number: float) -> None:
    assert amount_of(quantity) == pytest.approx(number)

"""Kubernetes quantities, such as ``128Mi`` and ``250m``, as the API has them (see also ``harness.model.amounts``)."""

from __future__ import annotations

from harness.model.amounts import amount_of, exact_amount

__all__ = ["amount_of", "bytes_of"]


def bytes_of(text: str) -> int:
    """Return a quantity in whole bytes, rounded up. Raises ValueError for other text and for less than nothing."""
    try:
        amount = exact_amount(text)
    except ValueError:
        amount = exact_amount(-1)
    if amount < 0:
        raise ValueError(f"found {text!r}, expected a quantity of bytes such as 128Mi")
    return int(amount.to_integral_value("ROUND_CEILING"))

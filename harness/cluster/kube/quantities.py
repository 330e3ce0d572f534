"""Kubernetes quantities, such as ``128Mi`` and ``250m``."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {"": 1, **{name: 1000 ** (power + 1) for power, name in enumerate("kMGTPE")}}
_SUFFIXES |= {f"{name}i": 1024 ** (power + 1) for power, name in enumerate("KMGTPE")}
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+)|(m|[kMGTPE]|[KMGTPE]i)?)")


def bytes_of(text: str) -> int:
    """Return a quantity in whole bytes, rounded up. Raises ValueError for other text."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        raise ValueError(f"found {text!r}, expected a quantity of bytes such as 128Mi")
    number, exponent, suffix = found.groups()
    value = Decimal(number).scaleb(int(exponent or 0))
    value = value / 1000 if suffix == "m" else value * _SUFFIXES[suffix or ""]
    return int(value.to_integral_value("ROUND_CEILING"))


def amount_of(quantity: object) -> float:
    """Return a quantity as a number, such as 0.25 for ``250m``. Raises ValueError for what is none."""
    # Not imported with the module: it loads the whole official client, for one function.
    from kubernetes.utils.quantity import parse_quantity  # noqa: PLC0415

    return float(parse_quantity(str(quantity)))

"""Quantities of the Kubernetes API, such as ``250m`` and ``128Mi``: reading, comparing and showing them.

CPU is in cores, memory in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

_SUFFIXES = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1)}
_SUFFIXES |= {name: Decimal(1000) ** (power + 1) for power, name in enumerate("kMGTPE")}
_SUFFIXES |= {f"{name}i": Decimal(1024) ** (power + 1) for power, name in enumerate("KMGTPE")}
_QUANTITY = re.compile(r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))(?:[eE]([+-]?\d+)|([num]|[kMGTPE]|[KMGTPE]i)?)")
CPU = "cpu"
_MEBI = 1024 * 1024


def exact_amount(quantity: object) -> Decimal:
    """Return a quantity as an exact number. Raises ValueError for what is none."""
    found = _QUANTITY.fullmatch(str(quantity).strip())
    if not found:
        raise ValueError(f"found {str(quantity)!r}, expected a quantity such as 250m or 128Mi")
    number, exponent, suffix = found.groups()
    return Decimal(number).scaleb(int(exponent or 0)) * _SUFFIXES[suffix or ""]


def amount_of(quantity: object) -> float:
    """Return a quantity as a number, such as 0.25 for ``250m``. Raises ValueError for what is none."""
    return float(exact_amount(quantity))


def amounts_of(quantities: Mapping[str, object] | None) -> dict[str, float]:
    """Return the quantities of a list of resources as numbers."""
    return {name: amount_of(quantity) for name, quantity in (quantities or {}).items()}


def show_amount(resource: str, amount: float) -> str:
    """Format an amount as Kubernetes has it: ``130m`` of CPU, ``52Mi`` of another resource."""
    return f"{amount * 1000:.0f}m" if resource == CPU else f"{amount / _MEBI:.0f}Mi"


def _read(value: object) -> object:
    # In Python a bool is an int, so YAML's yes and true would be accepted as 1.
    if value is None or isinstance(value, bool):
        raise ValueError(f"found {value!r}, expected a quantity such as 250m or 128Mi")
    if (amount := amount_of(value)) < 0:
        raise ValueError(f"found {value!r}, expected a quantity of at least 0")
    return amount


Amount = Annotated[float, BeforeValidator(_read), Field(json_schema_extra={"type": ["number", "string"]})]


class AmountRange(BaseModel):
    """The bounds of an amount, both of them allowed values."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, alias_generator=to_camel)

    at_least: Amount | None = Field(default=None, description="the least amount, such as 100m or 64Mi")
    at_most: Amount | None = Field(default=None, description="the greatest amount, such as 250m or 128Mi")

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("found no bound, expected atLeast, atMost or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("found atLeast above atMost, expected it to be at most that")
        return self

    def contains(self, amount: float) -> bool:
        """Return whether an amount is within the bounds."""
        return (self.at_least is None or amount >= self.at_least) and (self.at_most is None or amount <= self.at_most)

    def shown(self, resource: str) -> str:
        """Format the bounds: ``100m to 250m``, ``at most 64Mi``."""
        low = "" if self.at_least is None else show_amount(resource, self.at_least)
        high = "" if self.at_most is None else show_amount(resource, self.at_most)
        return f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"

"""Quantities as people write them (``20s``, ``99.9%``, ``50/s``) as pydantic types; plain numbers pass too."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: object) -> object:
    """Seconds of ``1m30s``, ``200ms`` or a number. Raises ValueError for any other text."""
    if not isinstance(value, str):
        return _number(value)
    text = value.strip()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"found {value!r}, expected a duration such as 200ms, 20s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_share(value: object) -> object:
    """A share between 0 and 1 of ``99.9%`` or of a number. Raises ValueError for any other text."""
    if not isinstance(value, str):
        return _number(value)
    if not re.fullmatch(r"\d+(\.\d+)?\s*%", value.strip()):
        raise ValueError(f"found {value!r}, expected a percentage such as 99.9% or a number from 0 to 1")
    return float(value.strip().rstrip("%")) / 100


def parse_rate(value: object) -> object:
    """Events a second of ``50/s``, ``3000/m`` or a number. Raises ValueError for any other text."""
    if not isinstance(value, str):
        return _number(value)
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)", value.strip())
    if not found:
        raise ValueError(f"found {value!r}, expected a rate such as 50/s")
    return float(found[1]) / _SECONDS[found[2]]


def _number(value: object) -> object:
    # YAML's yes and true would pass for the number 1.
    if isinstance(value, bool):
        raise ValueError(f"found {str(value).lower()}, expected a number with its unit")  # noqa: TRY004 - pydantic's own
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0, allow_inf_nan=False, json_schema_extra={"type": ["number", "string"]}),
]
Share = Annotated[
    float, BeforeValidator(parse_share), Field(ge=0, le=1, json_schema_extra={"type": ["number", "string"]})
]
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    Field(gt=0, allow_inf_nan=False, json_schema_extra={"type": ["number", "string"]}),
]


def show_seconds(seconds: float) -> str:
    """A duration for people: ``340 ms``, ``2.15 s``, ``3 min 20 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"

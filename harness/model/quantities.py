"""Pydantic types for quantities with units (``20s``, ``99.9%``, ``50/s``), and their formatting.

Python code may use plain numbers: seconds, shares from 0 to 1, events per second. In a file a duration needs a unit,
since a bare ``200`` could be seconds or milliseconds: validate data from files with the context ``FROM_FILE``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Annotated, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
# The validation context for data from a file.
FROM_FILE: Mapping[str, bool] = {"unitsRequired": True}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
MINUS = "\N{MINUS SIGN}"
# Numbers that differ only beyond this many further decimals are displayed as equal: the difference is float noise.
FURTHER_DECIMALS = 4


def parse_duration(value: object) -> object:
    """Convert ``1m30s``, ``200ms`` or a number to seconds. Raises ValueError for any other text."""
    if not isinstance(value, str):
        return _number(value, "a duration such as 200ms, 20s or 1m30s")
    text = value.strip()
    # `findall` skips what it does not recognise, so the parts must be compared with the whole text.
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        if text.startswith("-"):
            raise ValueError(f"found {value!r}, expected a duration of at least 0s, such as 20s")
        raise ValueError(f"found {value!r}, expected a duration such as 200ms, 20s or 1m30s")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def read_duration(value: object, info: ValidationInfo) -> object:
    """Convert a duration to seconds as ``Duration`` does.

    Raises ValueError for what is no duration, a negative number, and in a file for a number without a unit."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"found {value}, expected a duration of at least 0s, such as 20s")
        # Zero needs no unit: it is the same in all of them.
        if value and (info.context or {}).get("unitsRequired"):
            raise ValueError(f"found {value}, expected a duration with its unit, such as {value}s or {value}ms")
    return parse_duration(value)


def _share(value: object) -> object:
    share = parse_share(value)
    if isinstance(share, int | float) and share > 1:
        hint = f", write {value}%" if not isinstance(value, str) and share <= 100 else ""
        raise ValueError(f"found {value!r}, expected a share of at most 100%{hint}")
    return share


def parse_share(value: object) -> object:
    """Convert ``99.9%`` or a number to a share from 0 to 1. Raises ValueError for any other text."""
    if not isinstance(value, str):
        return _number(value, "a percentage such as 99.9% or a number from 0 to 1")
    if not re.fullmatch(r"\d+(\.\d+)?\s*%", value.strip()):
        raise ValueError(f"found {value!r}, expected a percentage such as 99.9% or a number from 0 to 1")
    return float(value.strip().rstrip("%")) / 100


def parse_rate(value: object) -> object:
    """Convert ``50/s``, ``3000/m`` or a number to events per second. Raises ValueError for any other text."""
    if not isinstance(value, str):
        return _number(value, "a rate such as 50/s")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)", value.strip())
    if not found:
        raise ValueError(f"found {value!r}, expected a rate such as 50/s")
    return float(found[1]) / _SECONDS[found[2]]


def _number(value: object, expected: str) -> object:
    # In Python a bool is an int, so YAML's yes and true would be accepted as 1.
    if isinstance(value, bool) or not isinstance(value, Real):
        found = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
        raise ValueError(f"found {found}, expected {expected}")  # noqa: TRY004 - pydantic's own
    return value


# Text such as "20s" is valid input for these types. Pydantic derives the schema from float, and editors would reject
# it.
Duration = Annotated[
    float,
    BeforeValidator(read_duration),
    Field(ge=0, allow_inf_nan=False, json_schema_extra={"type": ["number", "string"]}),
]
Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1, json_schema_extra={"type": ["number", "string"]})]
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    Field(gt=0, allow_inf_nan=False, json_schema_extra={"type": ["number", "string"]}),
]


def is_duration(annotation: object, metadata: Sequence[object]) -> bool:
    """Return whether a field with this annotation and metadata, as pydantic has them, is of type ``Duration``."""
    # Pydantic separates the metadata of a plain `Duration` from its annotation, but not that of `Duration | None`.
    reads = [*metadata, *(each for part in get_args(annotation) for each in getattr(part, "__metadata__", ()))]
    return any(isinstance(each, BeforeValidator) and each.func is read_duration for each in reads)


def matching(pattern: str, description: str) -> AfterValidator:
    """Return a validator for text that fully matches ``pattern``; ``description`` is used in its error message."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"found {value!r}, expected {description}")
        return value

    return AfterValidator(check)


_DNS_LABEL = "[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
_NAMESPACE = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_OBJECT = "[a-z]+/[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
DnsLabel = Annotated[
    str,
    matching(_DNS_LABEL, "at most 40 lower-case letters, digits and hyphens, with a letter or digit at both ends"),
    Field(json_schema_extra={"pattern": f"^{_DNS_LABEL}$"}),
]
Namespace = Annotated[
    str,
    matching(_NAMESPACE, "the name of a namespace: at most 63 lower-case letters, digits and hyphens"),
    Field(json_schema_extra={"pattern": f"^{_NAMESPACE}$"}),
]
ObjectRef = Annotated[
    str,
    matching(_OBJECT, "kind/name in lower case, such as deployment/shop"),
    Field(json_schema_extra={"pattern": f"^{_OBJECT}$"}),
]


def show_seconds(
    seconds: float, *, against: float | None = None, decimals: int = 2, finest: int = 0, space: str = " "
) -> str:
    """Format a duration: ``340 ms``, ``2.15 s``, ``3 min 20 s``, ``1 h``. The only formatter of durations.

    ``decimals`` is the precision of seconds, ``finest`` that of milliseconds. ``against`` is a limit: the text gets as
    many decimals as needed to differ from the limit's text. ``space`` is put between a number and its unit.
    """
    apart = [] if against is None else [against]
    size = abs(seconds)
    # A short duration above zero is not shown as 0 ms.
    milliseconds = show_decimal(seconds * 1000, finest, [0.0, *(limit * 1000 for limit in apart)])
    # The unit is chosen after rounding: 0.9996 s is 1 s, not 1000 ms, and 179.6 s is 3 min, not 2 min 60 s.
    if size < 1 and milliseconds not in {"1,000", f"{MINUS}1,000"}:
        return f"{milliseconds}{space}ms"
    near = any(round(seconds) == round(limit) != seconds for limit in apart)
    if near or round(size, decimals) < 120:
        return f"{show_decimal(seconds, decimals, apart)}{space}s"
    minutes, rest = divmod(round(size), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (rest, "s")]
    sign = MINUS if seconds < 0 else ""
    return sign + space.join(f"{number}{space}{unit}" for number, unit in parts if number)


def show_decimal(value: float, decimals: int, apart_from: Sequence[float] = ()) -> str:
    """Format a number with ``decimals`` places, or more if needed to differ from the numbers in ``apart_from``.

    Thousands are separated by commas, trailing zeros are dropped, and the minus is the typographical one.
    """
    for places in range(decimals, decimals + FURTHER_DECIMALS + 1):
        shown = round(value, places)
        if all(shown != round(other, places) or value == other for other in apart_from):
            break
    text = f"{shown:,.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text.replace("-", MINUS)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: ``1 twin``, ``1,200 requests``. The default ``plural`` is the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

"""Plain YAML scalars as Kubernetes parses them.

kubectl converts YAML to JSON with a parser that follows neither YAML 1.1 nor 1.2: ``yes`` is true and ``0644`` and
``0o644`` are 420, but ``18:30`` is text. Numbers are converted as in JSON, so ``1.0`` is 1. The cases are listed in
``tests/unit/common/test_scalars.py`` and compared with kubectl there.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None

# JSON parsers disagree on longer numbers, and parsing them is slow.
MAX_DIGITS = 100
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)|0b[-+][01]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# Only in these numbers must underscores be between digits; in all others they are dropped.
_POINTED = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_NUMBERS = frozenset("+-0123456789.")
_INT64 = range(-(2**63), 2**63)
_UINT64 = 2**64
# From this value on, JSON numbers are written with an exponent, and Kubernetes does not treat them as integers.
_EXPONENT = 1e21


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar. Infinities and NaN are returned although JSON cannot represent them."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBERS:
        return text
    return float("inf") if is_long_number(text) else _number(text)


def _number(text: str) -> Scalar:
    plain = _plain(text)
    if _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if number in _INT64:
            return number
        if number < _UINT64 and plain[0].isdigit():
            return float(number)
    if _FLOAT.fullmatch(plain):
        found = float(plain)
        if abs(found) != float("inf"):
            return as_json_number(found)
    return text


def is_long_number(text: str) -> bool:
    """Return whether a plain scalar is a number of more than MAX_DIGITS characters."""
    if len(text) <= MAX_DIGITS or text[0] not in _NUMBERS:
        return False
    plain = _plain(text)
    return bool(_INTEGER.fullmatch(plain) or _FLOAT.fullmatch(plain))


def as_json_number(number: float) -> int | float:
    """Convert a number as JSON does: one without a fraction becomes an integer if it fits into 64 bits."""
    if number.is_integer() and abs(number) < _EXPONENT:
        # The shortest digits that identify the float, padded with zeros.
        written = int(Decimal(repr(number)))
        return written if written in _INT64 else number
    return number


def key_of(text: str, value: Scalar) -> str | None:
    """Return the text of a plain scalar as a key, or None if it must be quoted.

    Kubernetes has no text for null, and formats a float with 32 bits and an exponent: the key ``1000000.0`` becomes
    ``1e+06``. Such keys are refused rather than silently changed.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if _INTEGER.fullmatch(_plain(text)) else None
    return value if isinstance(value, str) else None


def _plain(text: str) -> str:
    return text if text[0] == "." and not _POINTED.fullmatch(text) else text.replace("_", "")


def _integer(plain: str) -> int:
    sign = -1 if plain[0] == "-" else 1
    digits = plain.lstrip("+-").lower()
    for prefix, base in (("0x", 16), ("0b", 2), ("0o", 8)):
        if digits.startswith(prefix):
            return sign * int(digits.removeprefix(prefix), base)
    return sign * int(digits, 8 if digits[0] == "0" else 10)

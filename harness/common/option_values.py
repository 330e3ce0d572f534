"""Readers of the text of one option, from the command line, the environment or the ini file."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

TRUE, FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")

# Reads the text of one option. Raises ValueError with what was expected.
Reader = Callable[[str], Any]


def whole(least: int) -> Reader:
    def read(text: str) -> int:
        # Limit the digits: Python raises ValueError for the conversion of thousands of digits.
        if re.fullmatch(r"[0-9]{1,18}", text.strip()) and int(text) >= least:
            return int(text)
        raise ValueError(f"a whole number of at least {least}")

    return read


def factor(most: float) -> Reader:
    """Return a reader of a factor above 0: ``0.5``, ``2`` or ``50%``."""

    def read(text: str) -> float:
        number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
        # Not float() alone, which also reads "nan", "inf" and "1_0".
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", number):
            value = float(number) / (100 if percent else 1)
            if 0 < value <= most:
                return value
        raise ValueError(f"a factor above 0 and at most {most:g}, such as 0.5, 2 or 50%")

    return read


def truth(text: str) -> bool:
    if text.strip().lower() not in TRUE | FALSE:
        raise ValueError("true or false")
    return text.strip().lower() in TRUE


def label(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("lower-case letters, digits and -")
    return text


def url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError("an http or https URL")
    return text


def optional(read: Reader) -> Reader:
    """Return a reader that gives None for an option that is not set."""
    return lambda text: read(text) if text else None


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def one_of(*allowed: str) -> Reader:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return text

    return read


def image_reference(text: str) -> str:
    if re.search(r"\s", text):
        raise ValueError("an image reference such as registry.test/runner:1")
    return text

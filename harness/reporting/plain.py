"""Strangers' text on one line of a terminal or of a table: no control, no escape sequence, no turned reading order."""

from __future__ import annotations

import unicodedata


def one_line(text: str, limit: int = 300) -> str:
    """The text without anything that moves a cursor or reverses the reading order, cut with ``…`` at ``limit``."""
    shown = "".join(_harmless(character) for character in text[: limit * 2])
    shown = " ".join(shown.split(" ")).strip()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def harmless(text: str) -> str:
    """The text with its lines and without anything else that moves a cursor or reverses the reading order: what a
    cluster says (names, messages, annotations) goes to a terminal this way."""
    return "\n".join("".join(map(_harmless, line)) for line in text.split("\n"))


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    # Cc: controls, ESC among them. Cf: bidirectional overrides and zero-width characters.
    return " " if category in {"Cc", "Zl", "Zp"} else "" if category == "Cf" else character


def display_width(text: str) -> int:
    """Columns that a terminal takes for the text: two for wide characters, none for combining ones."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def fit(text: str, columns: int) -> str:
    """The text in exactly as many columns, padded or cut with ``…``."""
    if display_width(text) > columns:
        kept, used = "", 0
        for character in text:
            used += _columns(character)
            if used > columns - 1:
                break
            kept += character
        text = kept + "…"
    return text + " " * (columns - display_width(text))

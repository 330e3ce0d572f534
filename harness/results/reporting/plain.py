"""Untrusted text in a terminal or a table: no control characters, escape sequences or bidirectional overrides."""

from __future__ import annotations

import unicodedata


def one_line(text: str, limit: int = 300) -> str:
    """Return the text as one line without control characters, cut with ``…`` at ``limit`` characters."""
    # Cut before the loop, since a message from a cluster may be megabytes long. Twice the limit, since some characters
    # are dropped below.
    shown = "".join(_harmless(character) for character in text[: limit * 2]).strip()
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def harmless(text: str) -> str:
    """Return the text with its line breaks, but without any other control characters.

    For text from a cluster (names, messages, annotations) that is printed on a terminal.
    """
    return "\n".join("".join(map(_harmless, line)) for line in text.split("\n"))


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    # Cc: control characters such as ESC. Cf: bidirectional overrides and zero-width characters.
    return " " if category in {"Cc", "Zl", "Zp"} else "" if category == "Cf" else character


def display_width(text: str) -> int:
    """Return the number of terminal columns of the text: two for wide characters, none for combining ones."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def fit(text: str, columns: int) -> str:
    """Return the text padded, or cut with ``…``, to exactly ``columns`` terminal columns."""
    if display_width(text) > columns:
        kept, used = "", 0
        for character in text:
            used += _columns(character)
            if used > columns - 1:
                break
            kept += character
        text = kept + "…"
    return text + " " * (columns - display_width(text))

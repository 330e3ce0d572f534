"""Decode a file's bytes like kubectl does: UTF-8, or the encoding given by a byte order mark."""

from __future__ import annotations

import codecs
import json
import re

# The files of a folder that are read as YAML or JSON: kubectl's rule, which is case-sensitive.
SUFFIXES = frozenset((".json", ".yaml", ".yml"))
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

_FILLED = re.compile(r"[^ \t\r\n]")


def decode(content: bytes, errors: str = "strict") -> str:
    """Decode a file's bytes and drop the byte order mark. Raises UnicodeDecodeError."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.removeprefix(mark).decode(encoding, errors)
    return content.decode("utf-8", errors)


def json_stream(text: str) -> list[tuple[int, str]]:
    """Split a text that consists of several JSON objects; return each with the number of lines before it.

    Any other text is returned whole, with 0.
    """
    parts: list[tuple[int, str]] = []
    decoder, at, lines = json.JSONDecoder(), 0, 0
    while found := _FILLED.search(text, at):
        try:
            end = decoder.raw_decode(text, found.start())[1] if found[0] == "{" else 0
        except (ValueError, RecursionError):
            end = 0
        if not end:
            # This is YAML, perhaps with JSON in it.
            return [(0, text)]
        parts.append((lines, text[at:end]))
        lines += text.count("\n", at, end)
        at = end
    return parts if len(parts) > 1 else [(0, text)]

"""Reads the API server's answers: an object, or a list one object after the other.

Decoded as a whole, a list of five hundred pods is a hundred thousand Python objects at once: more than a processor's
caches hold, and looked through again and again by the garbage collector. One by one they take a fourth of the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from harness.errors import ApiError

# How the API server writes a list of a built-in kind: without spaces, the items last, their metadata first.
_FIRST, _NEXT, _LAST = b'"items":[{"metadata":', b'},{"metadata":', b"}]}"


def read_object(body: bytes) -> dict[str, Any]:
    """Raises ApiError for what is no JSON object."""
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise ApiError(0, "BadAnswer", f"expected JSON: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(0, "BadAnswer", f"expected an object, got {type(found).__name__}")
    return found


def read_list(body: bytes) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """A list's own metadata, and its items. Raises ApiError for what is no JSON, for an item when its turn comes."""
    head, found, items = body.partition(_FIRST)
    items = items.rstrip()
    if found and items.endswith(_LAST):
        try:
            listing = orjson.loads(head + b'"items":[]}')
        except ValueError:
            # That was not where this list's items begin, but something within it: it is written another way.
            pass
        else:
            return listing.get("metadata", {}), _one_by_one(items.removesuffix(_LAST))
    listing = read_object(body)
    return listing.get("metadata", {}), iter(listing.get("items") or ())


def _one_by_one(items: bytes) -> Iterator[dict[str, Any]]:
    # What is cut at stands in no string, whose quotes are escaped. Where it stands within an item (a list of templates)
    # a bracket is open on its left: that is no JSON, until the rest of the item is put back.
    cut: list[bytes] = []
    for piece in items.split(_NEXT):
        cut.append(piece)
        try:
            item = orjson.loads(b'{"metadata":%b}' % _NEXT.join(cut))
        except ValueError:
            continue
        cut.clear()
        yield item
    if cut:
        yield from _together(_NEXT.join(cut))


def _together(items: bytes) -> Iterator[dict[str, Any]]:
    try:
        yield from orjson.loads(b'[{"metadata":%b}]' % items)
    except ValueError as error:
        raise ApiError(0, "BadAnswer", f"expected JSON: {error}") from error

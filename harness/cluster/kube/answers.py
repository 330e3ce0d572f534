"""Decodes the API server's responses: an object, or a list one object at a time.

Decoded as a whole, a list of 500 pods is 100,000 Python objects at once: they do not fit in the CPU's caches, and the
garbage collector scans them repeatedly. Decoding them one at a time takes a quarter of the CPU time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from harness.common.errors import ApiError

# The API server writes a list of a built-in kind without spaces, with the items last and their metadata first.
_FIRST, _NEXT, _LAST = b'"items":[{"metadata":', b'},{"metadata":', b"}]}"


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a response. Raises ApiError for anything else."""
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise ApiError(0, "BadAnswer", f"expected JSON: {error}") from error
    if not isinstance(found, dict):
        raise ApiError(0, "BadAnswer", f"expected an object, got {type(found).__name__}")
    return found


def read_list(body: bytes) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Return a list's metadata and an iterator of its items. Raises ApiError for invalid JSON, also while iterating."""
    head, found, items = body.partition(_FIRST)
    items = items.rstrip()
    if found and items.endswith(_LAST):
        try:
            listing = orjson.loads(head + b'"items":[]}')
        except ValueError:
            # The match was inside an item: this list is not written in the form above.
            pass
        else:
            return listing.get("metadata", {}), _one_by_one(items.removesuffix(_LAST))
    listing = read_object(body)
    return listing.get("metadata", {}), iter(listing.get("items") or ())


def _one_by_one(items: bytes) -> Iterator[dict[str, Any]]:
    # The separator cannot occur in a string, where quotes are escaped. It can occur within an item (a list of
    # templates); the piece before it then has an open bracket and is invalid JSON until the next pieces are appended.
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

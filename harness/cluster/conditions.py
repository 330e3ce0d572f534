"""Conditions of objects, as the API writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def holds(item: Mapping[str, Any], kind: str) -> bool:
    """Whether a condition of an object is there and True."""
    found = (item.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == kind and condition["status"] == "True" for condition in found)

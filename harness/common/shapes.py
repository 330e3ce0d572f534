"""Access to parts of data that are not validated yet, such as manifests."""

from __future__ import annotations

from typing import Any


def mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever YAML holds
    """Return a mapping unchanged, and an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:  # noqa: ANN401 - whatever YAML holds
    """Return a list unchanged, and an empty one for any other value."""
    return value if isinstance(value, list) else []

"""The location of the catalogue that is shipped with the harness: workloads, load profiles and behaviours."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(folder: str) -> Path:
    """Return a top-level folder of the catalogue (``loadprofiles``, ``experiments``).

    In an installed package it is inside the package; in a checkout it is next to it.
    """
    inside = _PACKAGE / "builtin" / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder

"""Where the catalogue is that comes with the harness: workloads, load profiles and behaviours."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(folder: str) -> Path:
    """A top-level folder of the catalogue (``loadprofiles``, ``experiments``).

    It is inside an installed package, and beside the package in a checkout.
    """
    inside = _PACKAGE / "builtin" / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder

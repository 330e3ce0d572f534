"""The values of ``--load-image``: FILE, NAME=FILE or REFERENCE, several separated by commas."""

from __future__ import annotations

from pathlib import Path

_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_STARTS = ("./", "../", "/", "~")


def image_values(text: str) -> tuple[str, ...]:
    """Return the single values."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def is_archive(text: str, folder: Path) -> bool:
    """Return whether a value without ``=`` is a file: it exists in ``folder``, or looks like the path of an archive."""
    return text.startswith(_STARTS) or text.endswith(_ENDINGS) or (folder / text).exists()


def located(text: str, folder: Path) -> str:
    """Return the values with the paths of files relative to ``folder`` made absolute."""
    return ",".join(_located(value, folder) for value in image_values(text))


def _located(value: str, folder: Path) -> str:
    name, equals, path = value.rpartition("=")
    if equals or is_archive(value, folder):
        return f"{name}{equals}{folder / Path(path).expanduser()}"
    return value

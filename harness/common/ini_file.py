"""Options from the ini file that pytest would read, so that the commands use the same cluster as the tests."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from iniconfig import IniConfig, ParseError

from harness.common.errors import InputError, Problem
from harness.common.image_values import located

# In pytest's order: the first file with such a section is used. The first two count even without the section.
_INI = (("pytest.ini", "pytest"), (".pytest.ini", "pytest"))
_SECTIONS = (("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"))
# Values that are paths relative to the folder of the ini file.
_PATHS = frozenset({"resilience_kubeconfig", "resilience_guard"})
_IMAGES = "resilience_load_image"


def ini_values(start: Path) -> Callable[[str], str]:
    """Return a lookup of options in the nearest ini file at or above ``start``; it returns "" for a missing option.

    Raises InputError for a file that cannot be read.
    """
    for folder in (start, *start.parents):
        found = _in_folder(folder)
        if found is not None:
            return _reader(folder, found)
    return lambda _name: ""


def _reader(folder: Path, values: Mapping[str, Any]) -> Callable[[str], str]:
    def value(name: str) -> str:
        text = str(values.get(name, ""))
        if name == _IMAGES:
            return located(text, folder)
        return str(folder / text) if text and name in _PATHS else text

    return value


def _in_folder(folder: Path) -> Mapping[str, Any] | None:
    for name, section in _INI:
        if (folder / name).is_file():
            return _section(folder / name, section) or {}
    pyproject = folder / "pyproject.toml"
    if pyproject.is_file():
        tool = _toml(pyproject).get("tool", {}).get("pytest", {})
        if "ini_options" in tool:
            options: Mapping[str, Any] = tool["ini_options"]
            return options
    for name, section in _SECTIONS:
        if (folder / name).is_file():
            found = _section(folder / name, section)
            if found is not None:
                return found
    return None


def _section(file: Path, name: str) -> Mapping[str, Any] | None:
    try:
        found = IniConfig(str(file), encoding="utf-8").sections.get(name)
    except (ParseError, OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}", file)]) from error
    return found


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(f"cannot be read: {error}", file)]) from error

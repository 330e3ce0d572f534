"""Values of the harness's options in pytest's ini file."""

from __future__ import annotations

import pytest

from harness.engine.options import OPTIONS

_OPTIONS = {option.ini: option for option in OPTIONS}


def ini_value(config: pytest.Config, name: str) -> str:
    """Return the value of an option in the ini file, or "". Paths are made absolute."""
    value, option = str(config.getini(name)), _OPTIONS[name]
    if not value or not (option.path or option.locate):
        return value
    # Like pytest's own options of the type ``paths``, relative to the folder of the ini file.
    folder = config.inipath.parent if config.inipath else config.invocation_params.dir
    return option.locate(value, folder) if option.locate else str(folder / value)

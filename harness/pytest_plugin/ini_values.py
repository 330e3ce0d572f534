"""Values of the harness's options in pytest's ini file."""

from __future__ import annotations

import pytest

from harness.common.image_values import located
from harness.engine.options import OPTIONS

_PATHS = {option.ini for option in OPTIONS if option.path}
# The only option with several values has images, which may be files.
_MANY = {option.ini for option in OPTIONS if option.many}


def ini_value(config: pytest.Config, name: str) -> str:
    """Return the value of an option in the ini file, or "". Paths are made absolute."""
    value = str(config.getini(name))
    if not value or name not in {*_PATHS, *_MANY}:
        return value
    # Like pytest's own options of the type ``paths``, relative to the folder of the ini file.
    folder = config.inipath.parent if config.inipath else config.invocation_params.dir
    return located(value, folder) if name in _MANY else str(folder / value)

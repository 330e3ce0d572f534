"""Secrets in load options: named in the experiment, looked up only in the process that sends them.

An option may hold ``${env:NAME}``. What is checked, stored and reported is the reference; the load process alone, which
inherits the environment, puts the value in its place. So a token is in no record, no settings file and no report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.errors import InputError, Problem

_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")


def check_secrets(options: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Whether every variable that the options name is set. Raises InputError with all that are not."""
    missing = sorted({name for name in _names(options) if name not in environ})
    if missing:
        raise InputError([Problem(f"the environment variable {name} is not set", field="options") for name in missing])


def with_secrets(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The options with every reference replaced; nothing of it may be printed. KeyError for a variable not set."""
    return {key: _replaced(value, lambda name: environ[name]) for key, value in options.items()}


def _names(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, str):
        yield from _REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)


def _replaced(value: Any, secret: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: secret(found[1]), value)
    if isinstance(value, Mapping):
        return {key: _replaced(inner, secret) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, secret) for inner in value]
    return value

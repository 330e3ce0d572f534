"""Secrets in load options: referenced in the experiment, resolved only in the process that sends them.

An option may contain ``${env:NAME}``. The harness checks, stores and reports the reference; only the load process,
which inherits the environment, replaces it with the value. So a token appears in no record, settings file or report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.common.errors import InputError, Problem
from harness.traffic.target.endpoint import REFERENCE


def check_secrets(options: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Check that every referenced environment variable is set. Raises InputError with all that are not."""
    missing = sorted({name for name in _names(options) if name not in environ})
    if missing:
        raise InputError([Problem(f"the environment variable {name} is not set", field="options") for name in missing])


def referenced(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that the options refer to; the result must not be logged or stored."""
    return {name: environ[name] for name in sorted(set(_names(options))) if name in environ}


def with_secrets(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the options with every reference replaced; the result must not be logged.

    Raises KeyError for a variable that is not set.
    """
    return {key: _replaced(value, lambda name: environ[name]) for key, value in options.items()}


def _names(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        yield from REFERENCE.findall(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _names(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _names(inner)


def _replaced(value: Any, secret: Callable[[str], str]) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        # In one pass: a reference within the value of a secret must not be replaced again.
        return REFERENCE.sub(lambda found: secret(found[1]), value)
    if isinstance(value, Mapping):
        return {key: _replaced(inner, secret) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, secret) for inner in value]
    return value

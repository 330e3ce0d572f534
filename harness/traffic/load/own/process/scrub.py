"""Keep the values of environment variables out of everything that is stored: names, outcomes and the output."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TextIO

# Variables whose values are no secrets and are parts of many texts, such as paths in tracebacks.
_HARMLESS = re.compile(
    r"PATH|HOME|PWD|OLDPWD|SHELL|USER|LOGNAME|HOSTNAME|LANG|LANGUAGE|TERM|TMPDIR|TEMP|TZ|EDITOR|PAGER|_|SHLVL|MAIL"
    r"|VIRTUAL_ENV.*|CONDA_.*|PYTHON.*|LC_.*|XDG_.*|PYENV_.*|UV_.*|KUBECONFIG|DISPLAY"
)
_SENSITIVE = re.compile(r"TOKEN|SECRET|PASS|PWD|KEY|AUTH|CRED|COOKIE|SESSION|LOGIN", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
# Shorter values are parts of ordinary words, and replacing them would only make texts unreadable.
_SHORTEST, _SHORTEST_SENSITIVE = 8, 4
MAX_OUTPUT = 4 * 1024 * 1024


class Scrubber:
    """Replaces the values of environment variables by ``${env:NAME}``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        found = {value.strip(): name for name, value in sorted(environ.items()) if _secret(name, value.strip())}
        # The longest first: one value may be a part of another one.
        parts = [re.escape(value) for value in sorted(found, key=len, reverse=True)]
        self._names = found
        self._pattern = re.compile("|".join(parts)) if parts else None

    def __call__(self, text: str) -> str:
        """Return the text without any value."""
        return self._pattern.sub(lambda hit: f"${{env:{self._names[hit[0]]}}}", text) if self._pattern else text


class ScrubbedStream:
    """A text stream that scrubs what is written to it, line by line, and ends after ``MAX_OUTPUT`` characters."""

    def __init__(self, stream: TextIO, scrub: Scrubber) -> None:
        self._stream, self._scrub = stream, scrub
        self._rest, self._written = "", 0

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._put(line + "\n")
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        # A part of a line is kept back until it is complete: it may end in the middle of a value.
        self._stream.flush()

    def finish(self) -> None:
        """Write the last line, which has no end."""
        if self._rest:
            self._put(self._rest)
        self._rest = ""
        self._stream.flush()

    def _put(self, line: str) -> None:
        if self._written > MAX_OUTPUT:
            return
        self._written += len(line)
        self._stream.write(self._scrub(line) if self._written <= MAX_OUTPUT else "(further output is left out)\n")

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def resolved(value: str, environ: Mapping[str, str]) -> str:
    """Replace every ``${env:NAME}``. Raises KeyError for a variable that is not set."""
    return _REFERENCE.sub(lambda found: environ[found[1]], value)


def _secret(name: str, value: str) -> bool:
    if _HARMLESS.fullmatch(name):
        return False
    return len(value) >= (_SHORTEST_SENSITIVE if _SENSITIVE.search(name) else _SHORTEST)

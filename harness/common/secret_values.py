"""Values that may contain secrets: given in full, or by the name of an environment variable or of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness.common.errors import HarnessError

ENVIRONMENT, FILE = "env:", "file:"
# Before the scheme of the next URL, or before the next env: or file:.
_BETWEEN = re.compile(r"\s+(?=[A-Za-z][A-Za-z0-9+.-]*:)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class SecretValue:
    """A secret and its source: ``env:NAME``, ``file:PATH``, or empty if it was given in full."""

    text: str = field(repr=False)
    source: str = ""

    def __str__(self) -> str:
        """Return what may be shown: the source, or the URL without its secret parts."""
        return self.source or redacted(self.text)


def is_named(text: str) -> bool:
    """Return whether a value is the name of a secret rather than the secret."""
    return text.startswith((ENVIRONMENT, FILE))


def secret_value(text: str, environ: Mapping[str, str]) -> SecretValue:
    """Return a secret: the content of the variable or file that ``text`` names, otherwise ``text``.

    Raises ValueError with what was found and expected; the secret itself is never part of the message."""
    if text.startswith(ENVIRONMENT):
        name = text.removeprefix(ENVIRONMENT)
        # A URL after `env:` by mistake must not be quoted.
        if not _VARIABLE.fullmatch(name):
            raise ValueError("found env: with something else than a name, expected the name of an environment variable")
        if not environ.get(name, "").strip():
            raise ValueError(f"found {text}, but the environment variable {name} is not set or empty")
        return SecretValue(environ[name].strip(), text)
    if text.startswith(FILE):
        try:
            return SecretValue(one_line_of(Path(text.removeprefix(FILE)).expanduser()), text)
        except HarnessError as error:
            raise ValueError(str(error)) from error
    return SecretValue(text)


def one_line_of(path: Path) -> str:
    """Return the only line of a file. Raises HarnessError, which never quotes the file."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        # Only the type of the error, since UnicodeDecodeError quotes bytes of the file.
        raise HarnessError(f"{path} cannot be read: {type(error).__name__}") from error
    if not text or "\n" in text:
        raise HarnessError(f"{path}: found {len(text.splitlines())} lines, expected one")
    return text


def redacted(url: str) -> str:
    """Return the part of an address that may be shown: ``https://hooks.slack.com/…``, or ``slack://…``.

    In the URLs of apprise any part after the scheme may be a token; only the host of an http(s) URL never is.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "…"
    if not parts.scheme:
        return "…"
    if parts.scheme not in {"http", "https"} or not host:
        return f"{parts.scheme}://…"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}/…"


def several(text: str) -> tuple[str, ...]:
    """Return the values in a text, separated by spaces or line breaks; a path after ``file:`` may contain spaces."""
    return tuple(filter(None, _BETWEEN.split(text.strip())))


def located_files(text: str, folder: Path) -> str:
    """Return values, separated by spaces, with each relative ``file:PATH`` made absolute."""
    return " ".join(_located(value, folder) for value in several(text))


def _located(value: str, folder: Path) -> str:
    if not value.startswith(FILE):
        return value
    return f"{FILE}{folder / Path(value.removeprefix(FILE)).expanduser()}"

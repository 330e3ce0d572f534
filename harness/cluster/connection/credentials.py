"""Credentials that authenticate requests to the API server, and their renewal.

Token and certificate files are reread after about a minute, as in client-go, and at once after a 401, so that a long
run survives their rotation.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.cluster.connection.tls import Identity, TlsInvalid, Trust, ssl_context
from harness.common.clock import Clock, SystemClock
from harness.common.errors import CredentialsFailed

# As in client-go: one minute, half of the time between the kubelet's renewal of a mounted token and the expiry of the
# old one, minus ten seconds of leeway.
FILE_SECONDS = 50.0
# Control characters, which an HTTP header cannot contain.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Credential:
    """The credentials of one request: the Authorization header (empty for none) and a client certificate."""

    authorization: str = field(default="", repr=False)
    identity: Identity | None = field(default=None, repr=False)


class Credentials(Protocol):
    """A source of credentials, shared by all connections of a kubeconfig user and safe for several threads."""

    def current(self) -> Credential:
        """Return the credential for the next request. Raises CredentialsFailed."""

    def renew(self, rejected: Credential) -> bool:
        """Replace a credential that the server rejected with a 401; return False if there is no other one.

        Raises CredentialsFailed.
        """


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """The credentials of an anonymous user."""

    def current(self) -> Credential:
        return Credential()

    def renew(self, rejected: Credential) -> bool:
        del rejected
        return False


class UserCredentials:
    """A fixed Authorization header, a token file that takes precedence, and a client certificate or its two files."""

    def __init__(
        self,
        authorization: str = "",
        *,
        token_file: Path | None = None,
        identity: Identity | None = None,
        identity_files: tuple[Path, Path] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Read the files. Raises CredentialsFailed if one cannot be read and there is no alternative to it."""
        self._authorization, self._identity = authorization, identity
        self._token_file, self._identity_files = token_file, identity_files
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._found = self._read(None)

    def current(self) -> Credential:
        with self._lock:
            if self._clock.monotonic() - self._read_at >= FILE_SECONDS:
                self._found = self._read(self._found)
            return self._found

    def renew(self, rejected: Credential) -> bool:
        with self._lock:
            # Another thread may have renewed it since this request was sent.
            if self._found == rejected:
                self._found = self._read(self._found)
            return self._found != rejected

    def _read(self, last: Credential | None) -> Credential:
        self._read_at = self._clock.monotonic()
        return Credential(self._read_authorization(last), self._read_identity(last))

    # While a file is replaced it may be missing or incomplete for a moment. Its last content may still be accepted.

    def _read_authorization(self, last: Credential | None) -> str:
        if self._token_file is None:
            return self._authorization
        try:
            return bearer(read_token(self._token_file))
        except CredentialsFailed:
            kept = last.authorization if last else self._authorization
            if not kept:
                raise
            return kept

    def _read_identity(self, last: Credential | None) -> Identity | None:
        if self._identity_files is None:
            return self._identity
        try:
            found = Identity(*map(_read_bytes, self._identity_files))
            if last is None or found != last.identity:
                ssl_context(Trust(insecure=True), found)
        except (CredentialsFailed, TlsInvalid) as error:
            if last is not None:
                return last.identity
            raise CredentialsFailed(f"{' and '.join(map(str, self._identity_files))}: {error}") from error
        return found


def bearer(token: str) -> str:
    """Return the Authorization header of a token."""
    return f"Bearer {token}"


def basic(user: str, password: str) -> str:
    """Return the Authorization header of a user with a password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def read_token(file: Path) -> str:
    """Return the token in a file. Raises CredentialsFailed if there is none."""
    try:
        token = _read_bytes(file).decode().strip()
    except UnicodeDecodeError as error:
        raise CredentialsFailed(f"{file}: found invalid UTF-8, expected a token") from error
    if not token or not fits_header(token):
        raise CredentialsFailed(f"{file}: found {'several lines' if token else 'nothing'}, expected a token")
    return token


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CredentialsFailed(f"{file} cannot be read: {error.strerror or error}") from error


def fits_header(text: str) -> bool:
    """Return whether an HTTP header can contain the text: no control characters and no surrogates."""
    return not _CONTROL.search(text) and not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True, slots=True)
class Impersonation:
    """The identity that requests act as, instead of the authenticated user."""

    user: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def headers(self) -> list[tuple[str, str]]:
        """Return the impersonation headers, one for each group and value."""
        if not self.user:
            return []
        headers = [("Impersonate-User", self.user)]
        headers += [("Impersonate-Uid", self.uid)] if self.uid else []
        headers += [("Impersonate-Group", group) for group in self.groups]
        for key, values in self.extra.items():
            headers += [(f"Impersonate-Extra-{_escape(key)}", value) for value in values]
        return headers


def _escape(key: str) -> str:
    """Percent-encode the bytes that the name of a header cannot contain, and the percent sign."""
    return "".join(
        chr(byte) if re.fullmatch(rb"[!#$&'*+.^_`|~0-9A-Za-z-]", bytes([byte])) else f"%{byte:02X}"
        for byte in key.encode()
    )

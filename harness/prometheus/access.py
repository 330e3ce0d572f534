"""Credentials for a foreign Prometheus: tokens, passwords, certificates, tenants.

Secrets come from files or the environment, never from the command line, which other users of the machine can read. They
are left out of every repr, and removed from the server's error texts, which may quote the request.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.common.errors import HarnessError, Problem
from harness.common.secret_values import one_line_of

TOKEN_VARIABLE = "RESILIENCE_PROMETHEUS_TOKEN"  # noqa: S105 - the name of a variable
PASSWORD_VARIABLE = "RESILIENCE_PROMETHEUS_PASSWORD"  # noqa: S105
SECRET_VARIABLES = frozenset({TOKEN_VARIABLE, PASSWORD_VARIABLE})
TENANT_HEADER = "X-Scope-OrgID"
# The name is a token of RFC 9110.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(\S.*)")
# Shorter secrets are not removed from texts, since that would garble ordinary words.
_LEAST_SECRET = 4


@dataclass(frozen=True, slots=True)
class PrometheusAccess:
    """Credentials for one URL. A token file is read for every request, since such tokens are rotated."""

    token: str = field(default="", repr=False)
    token_file: Path | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def bearer(self) -> str:
        """Return the current token, or an empty text. Raises HarnessError if its file cannot be read."""
        return one_line_of(self.token_file) if self.token_file else self.token

    def cleaned(self, text: str, url: str = "") -> str:
        """Return a text with every secret removed, including those in the URL."""
        # The longest first: a short secret may be a part of a longer one, which would then not be found.
        for secret in sorted(self._secrets(url), key=len, reverse=True):
            text = text.replace(secret, "…")
        return text

    def _secrets(self, url: str) -> set[str]:
        parts = urlsplit(url)
        user, password = self.user or unquote(parts.username or ""), self.password or unquote(parts.password or "")
        # HTTP Basic sends user and password in this form, which a server may quote.
        basic = base64.b64encode(f"{user}:{password}".encode()).decode() if password else ""
        known = {self.token, password, parts.password or "", basic, *self.headers.values()}
        if self.token_file:
            try:
                known.add(self.bearer())
            except HarnessError:
                known.discard("")
        return {secret for secret in known if len(secret) >= _LEAST_SECRET}


def prometheus_access(
    values: Mapping[str, str], environ: Mapping[str, str], problems: list[Problem]
) -> PrometheusAccess:
    """Return the credentials in options and environment. Adds any mistakes in them to ``problems``."""
    url, user = values["prometheus-url"], values["prometheus-user"]
    token, token_file = environ.get(TOKEN_VARIABLE, "").strip(), _file(values, "prometheus-token-file", problems)
    password_file = _file(values, "prometheus-password-file", problems)
    password = _text(password_file, "--prometheus-password-file", problems) or environ.get(PASSWORD_VARIABLE, "")
    headers = _headers(_file(values, "prometheus-headers-file", problems), problems)
    if values["prometheus-tenant"]:
        headers[TENANT_HEADER] = values["prometheus-tenant"]
    given = {
        f"--prometheus-token-file or {TOKEN_VARIABLE}": bool(token or token_file),
        "--prometheus-user": bool(user),
    }
    if sum(given.values()) + _has_user(url) > 1:
        problems.append(Problem("found two kinds of credentials, expected a token or a user", field="--prometheus-url"))
    if token and token_file:
        problems.append(
            Problem(f"found both this option and {TOKEN_VARIABLE}, expected one", field="--prometheus-token-file")
        )
    if bool(user) != bool(password):
        found = "a user without a password" if user else "a password without a user"
        problems.append(Problem(f"found {found}, expected both: see {PASSWORD_VARIABLE}", field="--prometheus-user"))
    if not url and (token or token_file or user or headers):
        message = "missing, but credentials were given, which are never sent to the cluster's own Prometheus"
        problems.append(Problem(message, field="--prometheus-url"))
    _text(token_file, "--prometheus-token-file", problems)
    ca = _file(values, "prometheus-ca", problems)
    return PrometheusAccess(token, token_file, user, password, ca, headers)


def _has_user(url: str) -> bool:
    try:
        return "://" in url and "@" in urlsplit(url).netloc
    except ValueError:
        # The option's own reader has refused the URL.
        return False


def _file(values: Mapping[str, str], name: str, problems: list[Problem]) -> Path | None:
    if not values[name]:
        return None
    path = Path(values[name])
    try:
        found = path.is_file()
    except OSError:
        # A name that is too long, or a folder that may not be searched.
        found = False
    if not found:
        problems.append(Problem(f"found {values[name]!r}, expected an existing file", field=f"--{name}"))
        return None
    return path


def _text(path: Path | None, field: str, problems: list[Problem]) -> str:
    if path is None:
        return ""
    try:
        return one_line_of(path)
    except HarnessError as error:
        problems.append(Problem(str(error), field=field))
        return ""


def _headers(path: Path | None, problems: list[Problem]) -> dict[str, str]:
    headers: dict[str, str] = {}
    if path is None:
        return headers
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        problems.append(Problem(f"{path} cannot be read: {error.strerror}", field="--prometheus-headers-file"))
        return headers
    for number, line in enumerate(lines, 1):
        found = _HEADER.fullmatch(line.strip())
        if found:
            headers[found[1]] = found[2]
        elif line.strip():
            # The line is not shown, since it may contain a secret.
            problems.append(Problem("expected Name: value", path, number, "--prometheus-headers-file"))
    return headers

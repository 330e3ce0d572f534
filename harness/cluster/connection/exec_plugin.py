"""Runs a kubeconfig's exec plug-in and caches its credentials: the protocol of ``client.authentication.k8s.io``.

The official Python client logs a plug-in's failure and continues without credentials, so that an expired login shows up
as a 403 for system:anonymous. Here the error has the plug-in's output and exit code.
"""

from __future__ import annotations

import base64
import json
import math
import os
import selectors
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.cluster.connection.credentials import Credential, bearer, fits_header
from harness.cluster.connection.tls import Identity, TlsInvalid, Trust, ssl_context
from harness.common.clock import Clock, SystemClock
from harness.common.errors import CredentialsFailed

API = "client.authentication.k8s.io"
VERSIONS = (f"{API}/v1", f"{API}/v1beta1")
NEVER, IF_AVAILABLE, ALWAYS = "Never", "IfAvailable", "Always"
INTERACTIVE_MODES = (NEVER, IF_AVAILABLE, ALWAYS)
# Seconds. The user may have to log in with a browser in this time; a longer limit would delay every undo.
TIMEOUT = 120.0
# Renew credentials this many seconds before they expire, so that none expires during a request.
LEEWAY = 30.0
# Seconds between two runs of a plug-in, also if each request fails.
PAUSE = 5.0
_MOST_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in as a kubeconfig defines it. ``where`` is its file and user, for messages."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    api_version: str
    interactive_mode: str
    install_hint: str
    cluster: Mapping[str, Any] | None
    where: str


class _Status(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    token: str = ""
    clientCertificateData: str = ""  # noqa: N815 - the API's names
    clientKeyData: str = ""  # noqa: N815
    expirationTimestamp: str | None = None  # noqa: N815


class _ExecCredential(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    apiVersion: str  # noqa: N815
    kind: str
    status: _Status


class PluginCredentials:
    """The credentials of a plug-in, which is run at the first use, before they expire, and after a 401."""

    def __init__(self, plugin: Plugin, clock: Clock | None = None) -> None:
        self._plugin = plugin
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._found: Credential | None = None
        self._failure: CredentialsFailed | None = None
        self._ran_at = 0.0
        # Unix seconds: when to run the plug-in again, and when its last credentials expire.
        self._stale_at = self._expires_at = -math.inf

    def current(self) -> Credential:
        with self._lock:
            now = self._clock.wall()
            if self._found is not None and now < self._stale_at:
                return self._found
            try:
                return self._run()
            except CredentialsFailed:
                if self._found is None or now >= self._expires_at:
                    raise
                # The last credentials have not expired: use them, and run the plug-in again after a pause.
                self._stale_at = now + PAUSE
                return self._found

    def renew(self, rejected: Credential) -> bool:
        with self._lock:
            if self._found == rejected:
                if self._clock.monotonic() - self._ran_at < PAUSE:
                    return False
                self._run()
            return self._found != rejected

    def _run(self) -> Credential:
        if self._failure is not None and self._clock.monotonic() - self._ran_at < PAUSE:
            # Threads that waited for the same credentials get the same error instead of another failing run.
            raise self._failure
        self._failure = None
        try:
            status = run_plugin(self._plugin)
            found, expires = _credential(status, self._plugin), _expires(status, self._plugin)
        except CredentialsFailed as failure:
            self._failure = failure
            raise
        finally:
            self._ran_at = self._clock.monotonic()
        now = self._clock.wall()
        self._found, self._expires_at = found, expires
        # A plug-in with a cache may return the same credentials until they expire; do not run it in a loop.
        self._stale_at = max(now + 1, min(expires, max(expires - LEEWAY, now + PAUSE)))
        return found


def run_plugin(plugin: Plugin) -> _Status:
    """Run a plug-in for up to ``TIMEOUT`` seconds and return the status that it printed. Raises CredentialsFailed."""
    interactive = _interactive(plugin)
    path = shutil.which(plugin.command)
    if path is None:
        hint = f"; {_shown(plugin.install_hint)}" if plugin.install_hint else ""
        raise CredentialsFailed(f"{_name(plugin)} is not installed or cannot be executed{hint}")
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.cluster is not None:
        spec["cluster"] = plugin.cluster
    info = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    environ = {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": json.dumps(info)}
    try:
        with subprocess.Popen(
            [path, *plugin.args],
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        ) as process:
            try:
                stdout, stderr = _communicate(process, interactive=interactive)
            # The `with` block waits for the process, which might never end by itself.
            except BaseException:
                process.kill()
                raise
    except subprocess.TimeoutExpired as error:
        message = _shown((error.stderr or b"").decode(errors="replace")) or "it wrote nothing to stderr"
        raise CredentialsFailed(f"{_name(plugin)} did not end within {TIMEOUT:g} s: {message}") from error
    except (OSError, ValueError) as error:
        raise CredentialsFailed(f"{_name(plugin)} cannot be run: {error}") from error
    if process.returncode:
        message = _shown(stderr.decode(errors="replace")) or "it wrote nothing to stderr"
        raise CredentialsFailed(f"{_name(plugin)} failed with exit code {process.returncode}: {message}")
    return _decode(stdout, plugin)


def _communicate(process: subprocess.Popen[bytes], *, interactive: bool) -> tuple[bytes, bytes]:
    """Return stdout and stderr. An interactive plug-in's stderr is shown as it arrives: it may contain a prompt."""
    assert process.stdout
    assert process.stderr
    # Not Popen.communicate, which returns stderr only at the end, too late to show a prompt.
    errors = bytearray()
    output = bytearray()
    clock = SystemClock()
    deadline = clock.monotonic() + TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, errors)
        while selector.get_map():
            left = deadline - clock.monotonic()
            ready = selector.select(left) if left > 0 else []
            if not ready and left <= 0:
                raise subprocess.TimeoutExpired(process.args, TIMEOUT, stderr=bytes(errors))
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
                if interactive and key.data is errors:
                    sys.stderr.write(data.decode(errors="replace"))
                    sys.stderr.flush()
    process.wait(max(0.1, deadline - clock.monotonic()))
    return bytes(output), bytes(errors)


def _interactive(plugin: Plugin) -> bool:
    terminal = os.isatty(0)
    if plugin.interactive_mode == ALWAYS and not terminal:
        raise CredentialsFailed(f"{_name(plugin)} needs a terminal (interactiveMode Always), and there is none")
    return terminal and plugin.interactive_mode != NEVER


def _decode(stdout: bytes, plugin: Plugin) -> _Status:
    # Messages do not show the output: it may contain a secret.
    try:
        found = _ExecCredential.model_validate(json.loads(stdout))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, detail["loc"])) or "the whole object" for detail in error.errors())
        raise CredentialsFailed(
            f"{_name(plugin)} printed an ExecCredential with missing or wrong fields: {places}"
        ) from None
    except ValueError:
        raise CredentialsFailed(f"{_name(plugin)} printed no JSON, expected an ExecCredential") from None
    if found.apiVersion != plugin.api_version or found.kind != "ExecCredential":
        raise CredentialsFailed(
            f"{_name(plugin)} printed {_shown(found.kind)} of {_shown(found.apiVersion)}, "
            f"expected ExecCredential of {plugin.api_version}"
        )
    return found.status


def _credential(status: _Status, plugin: Plugin) -> Credential:
    if bool(status.clientCertificateData) != bool(status.clientKeyData):
        raise CredentialsFailed(f"{_name(plugin)} printed a certificate or a key, expected both")
    if not status.token and not status.clientKeyData:
        raise CredentialsFailed(f"{_name(plugin)} printed no token and no certificate, expected either")
    if not fits_header(status.token):
        raise CredentialsFailed(f"{_name(plugin)} printed a token of several lines, expected one")
    identity = None
    if status.clientKeyData:
        identity = Identity(status.clientCertificateData.encode(), status.clientKeyData.encode())
        try:
            ssl_context(Trust(insecure=True), identity)
        except TlsInvalid as error:
            raise CredentialsFailed(f"{_name(plugin)}: clientCertificateData and clientKeyData: {error}") from error
    return Credential(bearer(status.token) if status.token else "", identity)


def _expires(status: _Status, plugin: Plugin) -> float:
    if status.expirationTimestamp is None:
        return math.inf
    try:
        found = datetime.fromisoformat(status.expirationTimestamp)
    except ValueError:
        raise CredentialsFailed(
            f"{_name(plugin)} printed the expirationTimestamp {_shown(status.expirationTimestamp)}, "
            "expected one such as 2026-01-31T12:00:00Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _name(plugin: Plugin) -> str:
    return f"{plugin.where}: exec plug-in {_shown(plugin.command)}"


def _shown(text: str) -> str:
    """Return a program's output without control characters, which could move the cursor, shortened in the middle."""
    plain = "".join(
        character if character == "\n" or not unicodedata.category(character).startswith("C") else " "
        for character in text
    ).strip()
    half = _MOST_SHOWN // 2
    return plain if len(plain) <= _MOST_SHOWN else f"{plain[:half]} … {plain[-half:]}"


def cluster_info(server: str, trust: Trust, proxy_url: str, *, compression: bool, config: object) -> dict[str, Any]:
    """Return the description of the cluster that a plug-in with ``provideClusterInfo`` receives."""
    found: dict[str, Any] = {"server": server, "config": config}
    if trust.server_name:
        found["tls-server-name"] = trust.server_name
    if trust.insecure:
        found["insecure-skip-tls-verify"] = True
    if trust.ca is not None:
        found["certificate-authority-data"] = base64.b64encode(trust.ca.encode()).decode()
    if proxy_url:
        found["proxy-url"] = proxy_url
    if not compression:
        found["disable-compression"] = True
    return found

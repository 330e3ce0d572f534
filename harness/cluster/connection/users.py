"""Reads the credentials and the impersonation of a kubeconfig's user like kubectl.

A token takes precedence over a password, and any of these or a client certificate over an exec plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.cluster.connection.credentials import (
    Credentials,
    Impersonation,
    UserCredentials,
    basic,
    bearer,
    fits_header,
)
from harness.cluster.connection.entries import ClusterEntry, ExecEntry, UserEntry
from harness.cluster.connection.exec_plugin import (
    IF_AVAILABLE,
    INTERACTIVE_MODES,
    VERSIONS,
    Plugin,
    PluginCredentials,
)
from harness.cluster.connection.files import Sourced
from harness.cluster.connection.tls import Identity, TlsInvalid, Trust, ssl_context
from harness.common.errors import CredentialsFailed, Problem

User = Sourced[UserEntry]


def impersonation_of(user: User, problems: list[Problem]) -> Impersonation:
    """Return the user's impersonation; add what is wrong with it to ``problems``."""
    entry = user.entry
    extra = {key: tuple(values) for key, values in entry.impersonate_extra.items()}
    for field, parts in (
        ("as", [entry.impersonate]),
        ("as-uid", [entry.impersonate_uid]),
        ("as-groups", entry.impersonate_groups),
        ("as-user-extra", [part for key, values in extra.items() for part in (key, *values)]),
    ):
        if any(parts) and field != "as" and not entry.impersonate:
            problems.append(user.problem(field, "found it without `as`, expected `as` with the user to impersonate"))
        if not all(map(fits_header, parts)):
            problems.append(user.problem(field, "found a control character, expected plain text"))
    return Impersonation(entry.impersonate, entry.impersonate_uid, tuple(entry.impersonate_groups), extra)


def credentials_of(user: User, name: str, cluster: Mapping[str, Any], problems: list[Problem]) -> Credentials:
    """Return the user's credentials; add what is wrong with them to ``problems``.

    ``cluster`` is passed to an exec plug-in that requests it (``provideClusterInfo``).
    """
    entry, before = user.entry, len(problems)
    _check(user, problems)
    plugin = _plugin(user, name, entry.exec, cluster, problems) if entry.exec else None
    identity, files = _identity(user, problems)
    authorization = bearer(entry.token) if entry.token else ""
    if entry.username and not authorization and not entry.token_file:
        authorization = basic(entry.username, entry.password)
    if len(problems) > before:
        return UserCredentials()
    if plugin and not (authorization or entry.token_file or identity or files):
        return PluginCredentials(plugin)
    token_file = user.path(entry.token_file) if entry.token_file else None
    try:
        return UserCredentials(authorization, token_file=token_file, identity=identity, identity_files=files)
    except CredentialsFailed as error:
        field = "tokenFile" if token_file else "client-certificate"
        problems.append(user.problem(field, str(error).removeprefix(f"{error.reason}: ")))
        return UserCredentials()


def _check(user: User, problems: list[Problem]) -> None:
    entry = user.entry
    if entry.auth_provider is not None:
        message = (
            f"found {entry.auth_provider.name!r}, expected `exec`: auth providers are not supported, "
            "use an exec plug-in instead (gke-gcloud-auth-plugin, kubelogin, …)"
        )
        problems.append(user.problem("auth-provider", message))
    if (entry.token or entry.token_file) and (entry.username or entry.password):
        field = "username" if entry.username else "password"
        problems.append(user.problem(field, "found it together with a token, expected only one of them"))
    if entry.password and not entry.username:
        problems.append(user.problem("password", "found it without a username, expected both"))
    for field, value in (("token", entry.token), ("username", entry.username), ("password", entry.password)):
        if not fits_header(value):
            problems.append(user.problem(field, "found a control character, expected plain text"))


def _identity(user: User, problems: list[Problem]) -> tuple[Identity | None, tuple[Path, Path] | None]:
    """Return the client certificate, or its two files if both parts are files, which are then reread regularly."""
    entry = user.entry
    if not entry.certificate and not entry.certificate_data:
        return None, None
    if not entry.key and not entry.key_data:
        problems.append(user.problem("", "found a client certificate without client-key-data or client-key"))
        return None, None
    certificate = entry.certificate_data or readable(user, "client-certificate", entry.certificate, problems)
    key = entry.key_data or readable(user, "client-key", entry.key, problems)
    if certificate is None or key is None:
        return None, None
    identity = Identity(certificate, key)
    try:
        ssl_context(Trust(insecure=True), identity)
    except TlsInvalid as error:
        field = "client-certificate-data" if entry.certificate_data else "client-certificate"
        problems.append(user.problem(field, str(error)))
    # Data in the kubeconfig does not change, so only a pair of files can be reread.
    if entry.certificate_data or entry.key_data:
        return identity, None
    return None, (user.path(entry.certificate), user.path(entry.key))


def readable(
    source: Sourced[UserEntry] | Sourced[ClusterEntry], field: str, path: str, problems: list[Problem]
) -> bytes | None:
    """Return the content of a file named in an entry; on an error add a problem and return None."""
    file = source.path(path)
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        problems.append(source.problem(field, f"{file} cannot be read: {reason}"))
        return None


def _plugin(
    user: User, name: str, entry: ExecEntry, cluster: Mapping[str, Any], problems: list[Problem]
) -> Plugin | None:
    before = len(problems)
    if not entry.command:
        problems.append(user.problem("exec/command", "missing, expected the name or path of a program"))
    if entry.api_version not in VERSIONS:
        message = f"found {entry.api_version!r}, expected {' or '.join(VERSIONS)}"
        problems.append(user.problem("exec/apiVersion", message))
    # The API requires the field in v1; in v1beta1 it defaults to IfAvailable.
    mode = entry.interactive_mode or (IF_AVAILABLE if entry.api_version == VERSIONS[-1] else "")
    if mode not in INTERACTIVE_MODES:
        message = f"found {mode!r}, expected one of {', '.join(INTERACTIVE_MODES)}"
        problems.append(user.problem("exec/interactiveMode", message))
    for index, variable in enumerate(entry.env):
        if not variable.name or "=" in variable.name or "\0" in variable.name + variable.value:
            message = f"found an invalid name or value in variable {index + 1}, expected an environment variable"
            problems.append(user.problem("exec/env", message))
    if "\0" in "".join((entry.command, *entry.args)):
        problems.append(user.problem("exec/args", "found a NUL character, expected plain text"))
    if len(problems) > before:
        return None
    return Plugin(
        # A path is relative to the kubeconfig; a name is searched in PATH.
        command=str(user.path(entry.command)) if "/" in entry.command else entry.command,
        args=tuple(entry.args),
        env={variable.name: variable.value for variable in entry.env},
        api_version=entry.api_version,
        interactive_mode=mode,
        install_hint=entry.install_hint,
        cluster=cluster if entry.provide_cluster_info else None,
        where=f"{user.file}: user {name}",
    )

"""The settings of a connection, from a kubeconfig or from the pod that this process runs in.

All problems of the chosen context, its cluster and its user are found before anything is sent, and reported together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.connection.credentials import Credentials, Impersonation, NoCredentials, UserCredentials
from harness.cluster.connection.entries import ClusterEntry
from harness.cluster.connection.exec_plugin import API, cluster_info
from harness.cluster.connection.files import Kubeconfig, Sourced, load_kubeconfig
from harness.cluster.connection.proxies import Proxy, parse_proxy, proxy_from_environment
from harness.cluster.connection.tls import TlsInvalid, Trust, ssl_context
from harness.cluster.connection.users import credentials_of, impersonation_of, readable
from harness.common.errors import ClusterUnreachable, CredentialsFailed, InputError, KubeconfigInvalid, Problem

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Connection:
    """The settings to reach an API server as a user. ``server`` is its URL without a trailing slash."""

    server: str
    trust: Trust = field(default_factory=Trust)
    proxy: Proxy | None = None
    credentials: Credentials = field(default_factory=NoCredentials)
    impersonation: Impersonation = field(default_factory=Impersonation)


def kubeconfig_connection(explicit: Path | None, context: str | None) -> Connection:
    """Return the connection of a context, or of the current one.

    Raises KubeconfigInvalid, or ClusterUnreachable if there is no current context.
    """
    found = load_kubeconfig(explicit)
    name = context or found.current_context
    if not name:
        raise ClusterUnreachable(f"kubeconfig {found.name} has no current context: set one or choose a context")
    if name not in found.contexts:
        known = ", ".join(sorted(found.contexts)) or "none"
        raise KubeconfigInvalid([Problem(f"kubeconfig {found.name} has no context {name!r}; it has: {known}")])
    problems: list[Problem] = []
    connection = _connection(found, name, problems)
    if problems or connection is None:
        raise KubeconfigInvalid(problems)
    return connection


def _connection(config: Kubeconfig, name: str, problems: list[Problem]) -> Connection | None:
    context = config.contexts[name]
    cluster = config.clusters.get(context.entry.cluster)
    user = config.users.get(context.entry.user)
    if cluster is None:
        message = f"found {context.entry.cluster!r}, expected one of the clusters: {_names(config.clusters)}"
        problems.append(context.problem("cluster", message))
    if user is None and context.entry.user:
        message = f"found {context.entry.user!r}, expected one of the users: {_names(config.users)}"
        problems.append(context.problem("user", message))
    if cluster is None or problems:
        return None
    server, trust = _server(cluster, problems), _trust(cluster, problems)
    proxy = _proxy(cluster, server, problems)
    if user is None:
        return Connection(server, trust, proxy)
    impersonation = impersonation_of(user, problems)
    info = cluster_info(
        server,
        trust,
        proxy.url_with_password if proxy else "",
        compression=not cluster.entry.disable_compression,
        # Kubernetes reserves this extension of a cluster entry for the configuration of exec plug-ins.
        config=next((each.extension for each in cluster.entry.extensions if each.name == f"{API}/exec"), None),
    )
    credentials: Credentials = credentials_of(user, context.entry.user, info, problems)
    if not server.startswith("https:"):
        # As in kubectl, credentials are checked but never sent over an unencrypted connection.
        credentials = NoCredentials()
    return Connection(server, trust, proxy, credentials, impersonation)


def _names(entries: Mapping[str, object]) -> str:
    return ", ".join(sorted(entries)) or "none"


def _server(cluster: Sourced[ClusterEntry], problems: list[Problem]) -> str:
    text = cluster.entry.server
    try:
        return server_url(text)
    except ValueError as error:
        problems.append(cluster.problem("server", str(error)))
        return ""


def server_url(text: str) -> str:
    """Return the URL of an API server, parsed like kubectl, without a trailing slash; it may have a path.

    Raises ValueError.
    """
    if not text:
        raise ValueError("missing, expected a URL such as https://HOST:6443")
    schemeless = "://" not in text
    try:
        parts = urlsplit(f"http://{text}" if schemeless else text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("found a URL that cannot be parsed, expected one such as https://HOST:6443") from error
    if parts.username is not None or parts.password is not None:
        # The URL is not quoted, since it contains a password.
        raise ValueError("found a user or a password in the URL, expected them in the kubeconfig's user")
    bad = any(character.isspace() or not character.isprintable() for character in text)
    if parts.scheme not in {"http", "https"} or not host or bad or (schemeless and parts.path.strip("/")):
        raise ValueError(f"found {text!r}, expected a URL such as https://HOST:6443")
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"


def _trust(cluster: Sourced[ClusterEntry], problems: list[Problem]) -> Trust:
    entry = cluster.entry
    field_name = "certificate-authority-data" if entry.ca_data else "certificate-authority"
    authorities = None
    if entry.ca_data or entry.ca:
        if entry.insecure:
            message = "found true together with a certificate authority, expected only one of them"
            problems.append(cluster.problem("insecure-skip-tls-verify", message))
        data = entry.ca_data or readable(cluster, field_name, entry.ca, problems)
        if data is not None:
            # Text between certificates is ignored, so it may be in any encoding.
            authorities = data.decode("ascii", errors="replace").replace("�", "?")
    trust = Trust(authorities, entry.insecure, entry.tls_server_name)
    try:
        ssl_context(trust, None)
    except TlsInvalid as error:
        problems.append(cluster.problem(field_name, str(error)))
    return trust


def _proxy(cluster: Sourced[ClusterEntry], server: str, problems: list[Problem]) -> Proxy | None:
    text = cluster.entry.proxy_url
    try:
        return parse_proxy(text) if text else proxy_from_environment(server)
    except ValueError as error:
        problems.append(cluster.problem("proxy-url", str(error)))
    except InputError as error:
        problems += error.problems
    return None


def in_cluster_connection(folder: Path = SERVICE_ACCOUNT, environ: Mapping[str, str] | None = None) -> Connection:
    """Return the connection for the ServiceAccount of this process's pod. Raises ClusterUnreachable outside a pod."""
    environ = os.environ if environ is None else environ
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        message = "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"
        raise ClusterUnreachable(f"this process does not run in a pod: {message}")
    try:
        server = server_url(f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")
        trust = Trust((folder / "ca.crt").read_text(encoding="ascii", errors="replace").replace("�", "?"))
        ssl_context(trust, None)
        credentials = UserCredentials(token_file=folder / "token")
    except OSError as error:
        raise ClusterUnreachable(f"this pod has no ServiceAccount: {error.filename}: {error.strerror}") from error
    except (CredentialsFailed, TlsInvalid, ValueError) as error:
        raise ClusterUnreachable(f"this pod's ServiceAccount in {folder} cannot be used: {error}") from error
    return Connection(server, trust, proxy_from_environment(server, environ), credentials)

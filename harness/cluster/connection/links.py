"""The TCP and TLS links of a connection: HTTP and WebSockets go through the same proxies."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.contrib.socks import SOCKSHTTPSConnectionPool, SOCKSProxyManager
from urllib3.util import make_headers

from harness.cluster.connection.connection import Connection
from harness.cluster.connection.tls import Identity, ssl_context

Header = tuple[str, str]


class _NoInsecureWarning:
    """Removes urllib3's warning for each connection with ``insecure-skip-tls-verify``, which is the user's choice.

    Where warnings are errors, it would end the run. A warnings filter is no alternative: it affects the whole process.
    """

    def _validate_conn(self, conn: Any) -> None:  # noqa: ANN401 - the base class's form
        if conn.is_closed:
            conn.connect()


class _InsecurePool(_NoInsecureWarning, HTTPSConnectionPool):
    pass


class _InsecureSocksPool(_NoInsecureWarning, SOCKSHTTPSConnectionPool):
    pass


class _ProxyManager(urllib3.ProxyManager):
    """Keeps repeated headers, such as Impersonate-Group, separate in requests to an HTTP proxy."""

    def _set_proxy_headers(self, url: str, headers: Any = None) -> Any:  # noqa: ANN401 - the base class's form
        kept = urllib3.HTTPHeaderDict({"Accept": "*/*", "Host": urlsplit(url).netloc})
        for name in ("Accept", "Host"):
            if name in (headers or {}):
                del kept[name]
        kept.extend(headers or {})
        return kept


class Links:
    """The links of one thread, replaced when the client certificate changes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._identity: Identity | None = None
        self._manager: urllib3.PoolManager | None = None

    def manager(self, identity: Identity | None) -> urllib3.PoolManager:
        """Return the urllib3 manager that sends HTTP requests with this client certificate."""
        # The client certificate is part of the TLS context, so a new one needs new connections.
        if self._manager is None or identity != self._identity:
            self.close()
            self._manager, self._identity = _manager(self._connection, identity), identity
        return self._manager

    def dial(self, identity: Identity | None, timeout: float) -> socket.socket:
        """Return a new link to the API server, including TLS, for a protocol other than HTTP.

        ``timeout`` is in seconds. Raises urllib3's HTTPError, and OSError.
        """
        pool = self.manager(identity).connection_from_url(self._connection.server)
        parts, proxy = urlsplit(self._connection.server), self._connection.proxy
        secure = parts.scheme == "https"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        # For a plain HTTP server behind an HTTP proxy, the pool's connections send requests to the proxy; no tunnel.
        make: Any = pool.ConnectionCls if secure or (proxy and proxy.socks) else HTTPConnection
        if proxy is None or proxy.socks:
            link = make(host=host, port=port, timeout=timeout, **pool.conn_kw)
        else:
            link = make(host=proxy.host, port=proxy.port, timeout=timeout, **pool.conn_kw)
            address = f"[{host}]" if ":" in host else host
            link.set_tunnel(address, port, _proxy_headers(self._connection), proxy.scheme)
        try:
            link.connect()
        except BaseException:
            link.close()
            raise
        found: socket.socket = link.sock
        return found

    def close(self) -> None:
        """Close all unused links."""
        if self._manager is not None:
            self._manager.clear()


def header_dict(headers: Iterable[Header]) -> urllib3.HTTPHeaderDict:
    """Return headers for urllib3 that it sends as UTF-8, like Go does; by itself it encodes text as Latin-1."""
    found = urllib3.HTTPHeaderDict()
    for name, value in headers:
        found.add(name, value.encode().decode("latin-1"))
    return found


def _manager(connection: Connection, identity: Identity | None) -> urllib3.PoolManager:
    context = ssl_context(connection.trust, identity)
    options: dict[str, Any] = {"ssl_context": context, "maxsize": 10}
    if connection.trust.server_name:
        options["server_hostname"] = connection.trust.server_name
    proxy = connection.proxy
    manager: urllib3.PoolManager
    if proxy is None:
        manager = urllib3.PoolManager(**options)
    elif proxy.socks:
        manager = SOCKSProxyManager(proxy.url, proxy.user or None, proxy.password or None, **options)
    else:
        # As in Go, the TLS settings of the cluster also apply to the connection to an HTTPS proxy.
        manager = _ProxyManager(
            proxy.url, proxy_headers=_proxy_headers(connection), proxy_ssl_context=context, **options
        )
    if connection.trust.insecure:
        insecure = _InsecureSocksPool if proxy and proxy.socks else _InsecurePool
        manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": insecure}
    return manager


def _proxy_headers(connection: Connection) -> dict[str, str]:
    proxy = connection.proxy
    if proxy is None or not (proxy.user or proxy.password):
        return {}
    return dict(make_headers(proxy_basic_auth=f"{proxy.user}:{proxy.password}"))

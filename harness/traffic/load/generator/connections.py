"""Connections to the target: new for every exchange, or kept and reused; with TLS if the target has it."""

from __future__ import annotations

import os
import socket as plain_socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from select import POLLIN

import gevent
from gevent import socket
from gevent.monkey import get_original

from harness.traffic.load.behaviour import Behaviour
from harness.traffic.load.plan import Settings
from harness.traffic.retired_ports import RetiredPorts, family_of
from harness.traffic.target.endpoint import authority, replaced
from harness.traffic.target.tls import HTTP_1, check_protocol, context_of


class ConnectTimeout(TimeoutError):
    """Connecting took longer than the connect timeout."""


class HandshakeTimeout(TimeoutError):
    """The TLS handshake was not over within the connect timeout."""


class Connections:
    """The connections of one load process to its target. ``protocol`` is what TLS negotiates (ALPN); may be empty."""

    def __init__(self, settings: Settings, behaviour: Behaviour, ports: RetiredPorts, protocol: str = HTTP_1) -> None:
        access = settings.access
        self.connect_timeout, self.read_timeout = behaviour.connect_timeout, behaviour.read_timeout
        self.keep = behaviour.connection == "kept"
        self.authority = access.authority or authority(settings.host, settings.port)
        self.scheme = "https" if access.tls else "http"
        self.authorization = replaced(access.authorization, os.environ)
        self.path = access.path
        # Changes with each phase; no header if it is empty.
        self.traceparent = settings.traceparents.get("", "")
        self._ports = ports
        self._address = settings.host, settings.port
        self._family = family_of(settings.host)
        self._protocol = protocol
        self._name = access.tls.server_name if access.tls else ""
        self._tls: ssl.SSLContext | None = None
        if access.tls:
            offered = (protocol,) if protocol else ()
            self._tls = context_of(access.tls, replaced(access.tls.key, os.environ), offered)
        self._idle: list[socket.socket] = []
        # gevent's patched poll yields to the event loop even for a single check without waiting.
        self._poll = get_original("select", "poll")

    @contextmanager
    def lent(self) -> Iterator[socket.socket]:
        """Yield a connected socket; it is kept for the next exchange if this one succeeds and connections are kept.

        Raises OSError, also for a body that takes longer than the read timeout.
        """
        connection = self.idle() or self.dial()
        good = False
        try:
            with gevent.Timeout(self.read_timeout, TimeoutError("no answer in time")):
                yield connection
            good = True
        finally:
            self.give_back(connection, reusable=good)

    def give_back(self, connection: socket.socket, *, reusable: bool) -> None:
        """Keep a connection for the next exchange, or close it."""
        if reusable and self.keep:
            self._idle.append(connection)
        else:
            connection.close()

    def idle(self) -> socket.socket | None:
        """Return a kept connection that the server has not closed, or None."""
        while self._idle:
            connection = self._idle.pop()
            poll = self._poll()
            poll.register(connection.fileno(), POLLIN)
            # An idle connection that is readable was closed by the server: a request on it would fail needlessly.
            if not poll.poll(0):
                return connection
            connection.close()
        return None

    def dial(self) -> socket.socket:
        """Return a new connection, after the TLS handshake if there is one. Raises OSError."""
        with gevent.Timeout(self.connect_timeout, self.too_late()):
            connection = self._connect()
            if self._tls is None:
                return connection
            try:
                secure = self._tls.wrap_socket(connection, server_hostname=self._name)
            except ConnectTimeout as error:
                connection.close()
                raise HandshakeTimeout("no TLS handshake in time") from error
            except BaseException:
                connection.close()
                raise
            try:
                check_protocol(secure.selected_alpn_protocol(), self._protocol)
            except OSError:
                secure.close()
                raise
            return secure

    def too_late(self) -> ConnectTimeout:
        """Return the error for a connection that takes longer than the connect timeout."""
        return ConnectTimeout("no connection in time")

    def _connect(self) -> socket.socket:
        if self._family is None:
            return socket.create_connection(self._address)
        # An IP address needs no resolver; gevent's would use a thread for every request.
        connection = socket.socket(self._family, plain_socket.SOCK_STREAM)
        try:
            connection.connect(self._address)
        except BaseException as error:
            # BaseException, since killing the greenlet raises GreenletExit.
            self._ports.close(connection, error)
            raise
        return connection

"""HTTP/1.1 on plain sockets, one exchange at a time, with nothing done behind the caller's back.

geventhttpclient parses the answers. Its own client is not used, nor is Locust's FastHttp session on top of it: both
send a request again when its connection was closed, which hides exactly what is to be measured, and follow redirects.
"""

from __future__ import annotations

import socket as plain_socket
from collections.abc import Mapping
from functools import lru_cache
from select import POLLIN

import gevent
from gevent import socket
from gevent.monkey import get_original
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketResponse

from harness.load.behaviour import Behaviour
from harness.load.plan import Settings
from harness.retired_ports import RetiredPorts, family_of

BLOCK_SIZE = 65536
KNOWN_MESSAGES = 256


class ConnectTimeout(TimeoutError):
    """Dialling took longer than it may."""


class HttpReply:
    """See ``harness.load.behaviour.Reply``."""

    __slots__ = ("_response", "body", "status")

    def __init__(self, response: HTTPSocketResponse) -> None:
        self._response = response
        self.status: int = response.get_code()
        self.body: bytes = response.read()

    def header(self, name: str) -> str:
        value = self._response.get(name.lower(), "")
        return value if isinstance(value, str) else ", ".join(value or ())


class HttpConnections:
    """Connections to the one target: dialled for every request, or kept and used again."""

    def __init__(self, settings: Settings, behaviour: Behaviour, ports: RetiredPorts) -> None:
        self._ports = ports
        self._host, self._port = settings.host, settings.port
        self._connect_timeout = behaviour.connect_timeout
        self._read_timeout = behaviour.read_timeout
        self._keep = behaviour.connection == "kept"
        self._idle: list[socket.socket] = []
        # The patched one goes around the event loop even to look once.
        self._poll = get_original("select", "poll")
        self._family = family_of(settings.host)
        shown = f"[{self._host}]" if self._family == plain_socket.AF_INET6 else self._host
        # Most loads send the same few messages again and again.
        self._bare = lru_cache(KNOWN_MESSAGES)(self._message)
        self._fixed_headers = {
            "Host": f"{shown}:{self._port}",
            "User-Agent": "resilience-harness",
            "Connection": "keep-alive" if self._keep else "close",
        }

    def exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> HttpReply:
        """Send one request and read its whole answer. Raises OSError."""
        message = self._message(method, path, body, headers) if body or headers else self._bare(method, path)
        connection = self._idle_connection() or self._dial()
        reusable = False
        try:
            with gevent.Timeout(self._read_timeout, TimeoutError("no answer in time")):
                connection.sendall(message)
                response = HTTPSocketResponse(connection, block_size=BLOCK_SIZE, method=method)
                reply = HttpReply(response)
            reusable = self._keep and not response.should_close()
        except HTTPConnectionClosed as error:
            # The library says "closed" for a reset, too, and leaves what it was in the context.
            if isinstance(error.__context__, ConnectionResetError):
                raise error.__context__ from None
            raise ConnectionAbortedError("closed without an answer") from error
        except HTTPParseError as error:
            raise ConnectionAbortedError("broken answer") from error
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()
        return reply

    def _message(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        lines = [f"{method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in {**self._fixed_headers, **(headers or {})}.items()]
        if body or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def _idle_connection(self) -> socket.socket | None:
        while self._idle:
            connection = self._idle.pop()
            poll = self._poll()
            poll.register(connection.fileno(), POLLIN)
            # An idle connection with something to read was closed by the server: using it would fail for no fault.
            if not poll.poll(0):
                return connection
            connection.close()
        return None

    def _dial(self) -> socket.socket:
        with gevent.Timeout(self._connect_timeout, ConnectTimeout("no connection in time")):
            if self._family is None:
                return socket.create_connection((self._host, self._port))
            # A literal address needs no resolver; gevent's would go through a thread for every request.
            connection = socket.socket(self._family, plain_socket.SOCK_STREAM)
            try:
                connection.connect((self._host, self._port))
            except BaseException as error:
                # Also when its greenlet is killed.
                self._ports.close(connection, error)
                raise
            return connection

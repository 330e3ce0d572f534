"""HTTP exchanges with the target, without retries or redirects: HTTP/1.1, or HTTP/2 if the behaviour wants it.

geventhttpclient parses the responses. Its client and Locust's FastHttp session on top of it are not used: they follow
redirects and retry a request whose connection was closed, which would hide the failures that are to be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import gevent
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketResponse

from harness.traffic.load.behaviour import Behaviour
from harness.traffic.load.generator.connections import Connections
from harness.traffic.load.generator.http2 import Http2
from harness.traffic.load.plan import Settings
from harness.traffic.retired_ports import RetiredPorts
from harness.traffic.target.tls import HTTP_2

BLOCK_SIZE = 65536
KNOWN_MESSAGES = 256


class HttpReply:
    """See ``harness.traffic.load.behaviour.Reply``."""

    __slots__ = ("_response", "body", "status")

    def __init__(self, response: HTTPSocketResponse) -> None:
        self._response = response
        self.status: int = response.get_code()
        self.body: bytes = response.read()

    def header(self, name: str) -> str:
        value = self._response.get(name.lower(), "")
        return value if isinstance(value, str) else ", ".join(value or ())


class HttpConnections:
    """Sends the requests of a behaviour; ``connections`` are for its other protocols.

    A behaviour that has a true field ``http2`` gets HTTP/2 (without TLS: with prior knowledge).
    """

    def __init__(self, settings: Settings, behaviour: Behaviour, ports: RetiredPorts) -> None:
        http2 = bool(getattr(behaviour, "http2", False))
        self.connections = Connections(settings, behaviour, ports, HTTP_2 if http2 else behaviour.alpn)
        self.exchange = Http2(self.connections).exchange if http2 else Http1(self.connections).exchange


class Http1:
    """HTTP/1.1 exchanges, one at a time on a connection."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        # Cached, since most loads repeat the same few messages.
        self._bare = lru_cache(KNOWN_MESSAGES)(self._message)
        self._cached_for = connections.traceparent
        self._fixed_headers = {
            "Host": connections.authority,
            "User-Agent": "resilience-harness",
            "Connection": "keep-alive" if connections.keep else "close",
        }
        if connections.authorization:
            self._fixed_headers["Authorization"] = connections.authorization

    def exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> HttpReply:
        """Send one request and read the whole response. Raises OSError."""
        if self._cached_for != self._connections.traceparent:
            self._cached_for = self._connections.traceparent
            self._bare.cache_clear()
        message = self._message(method, path, body, headers) if body or headers else self._bare(method, path)
        connection = self._connections.idle() or self._connections.dial()
        reusable = False
        try:
            with gevent.Timeout(self._connections.read_timeout, TimeoutError("no answer in time")):
                connection.sendall(message)
                response = HTTPSocketResponse(connection, block_size=BLOCK_SIZE, method=method)
                reply = HttpReply(response)
            reusable = not response.should_close()
        except HTTPConnectionClosed as error:
            # The library raises "closed" for a reset too; the original error is the context.
            if isinstance(error.__context__, ConnectionResetError):
                raise error.__context__ from None
            raise ConnectionAbortedError("closed without an answer") from error
        except HTTPParseError as error:
            raise ConnectionAbortedError("broken answer") from error
        finally:
            self._connections.give_back(connection, reusable=reusable)
        return reply

    def _message(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        lines = [f"{method} {self._connections.path(path)} HTTP/1.1"]
        # Names of headers are compared without case: a behaviour's own header replaces that of the target.
        own = {name.lower() for name in headers or ()}
        fixed = {name: value for name, value in self._fixed_headers.items() if name.lower() not in own}
        if self._connections.traceparent and "traceparent" not in own:
            fixed["traceparent"] = self._connections.traceparent
        lines += [f"{name}: {value}" for name, value in {**fixed, **(headers or {})}.items()]
        # RFC 9110, section 8.6: methods that define content should have a Content-Length, even of 0.
        if body or method in {"POST", "PUT", "PATCH"}:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

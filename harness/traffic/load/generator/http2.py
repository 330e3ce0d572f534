"""HTTP/2 exchanges with h2: with ``connection: kept`` all requests share a connection, as HTTP/2 clients do.

A connection that is full (the server's limit of concurrent streams) or closing is left to its requests, and the next
request opens another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import gevent
from gevent import socket
from gevent.event import Event as Flag
from gevent.lock import RLock
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from harness.traffic.load.generator.connections import Connections

READ = 65536
_HOP_BY_HOP = frozenset({"connection", "host", "keep-alive", "transfer-encoding", "upgrade"})


@dataclass(eq=False)
class Http2Reply:
    """See ``harness.traffic.load.behaviour.Reply``. ``header`` also returns trailers."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    over: Flag = field(default_factory=Flag)
    error: OSError | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


class Http2:
    """HTTP/2 exchanges over the connections to the target."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._shared: _Multiplexed | None = None
        self._dialling = RLock()

    def exchange(self, method: str, path: str, body: bytes, headers: Mapping[str, str] | None) -> Http2Reply:
        """Send one request and wait for the whole response. Raises OSError."""
        whole = self._headers(method, path, headers)
        connection = self._usable()
        try:
            with gevent.Timeout(self._connections.read_timeout, TimeoutError("no answer in time")):
                return connection.exchange(whole, body)
        finally:
            if not self._connections.keep:
                connection.close()

    def _usable(self) -> _Multiplexed:
        if not self._connections.keep:
            return _Multiplexed(self._connections.dial())
        # Only one request dials: the others wait for its connection, each within its own limit for connecting.
        with gevent.Timeout(self._connections.connect_timeout, self._connections.too_late()), self._dialling:
            if self._shared is None or self._shared.is_full:
                if self._shared is not None:
                    self._shared.retire()
                self._shared = _Multiplexed(self._connections.dial())
            return self._shared

    def _headers(self, method: str, path: str, own: Mapping[str, str] | None) -> list[tuple[str, str]]:
        connections = self._connections
        given = {name.lower(): value for name, value in (own or {}).items()}
        fixed = {"user-agent": "resilience-harness"}
        if connections.authorization:
            fixed["authorization"] = connections.authorization
        if connections.traceparent:
            fixed["traceparent"] = connections.traceparent
        return [
            (":method", method),
            (":scheme", connections.scheme),
            (":path", connections.path(path)),
            (":authority", given.get("host", connections.authority)),
            *((name, value) for name, value in {**fixed, **given}.items() if name not in _HOP_BY_HOP),
        ]


class _Multiplexed:
    """One HTTP/2 connection. A greenlet reads all of its responses."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._state = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._state.initiate_connection()
        self._replies: dict[int, Http2Reply] = {}
        self._sending = RLock()
        self._window = Flag()
        self._closing = False
        # The settings are sent with the first request.
        self._reader = gevent.spawn(self._read)

    @property
    def is_full(self) -> bool:
        """Whether no further request can be sent on this connection."""
        return self._closing or len(self._replies) >= self._state.remote_settings.max_concurrent_streams

    def exchange(self, headers: list[tuple[str, str]], body: bytes) -> Http2Reply:
        """Send one request and wait for the whole response. Raises OSError."""
        reply, number = Http2Reply(), 0
        try:
            number = self._state.get_next_available_stream_id()
            self._replies[number] = reply
            self._state.send_headers(number, headers, end_stream=not body)
            self._flush()
            if body:
                self._send_body(number, body, reply)
            reply.over.wait()
        except ProtocolError as error:
            raise ConnectionAbortedError("broken answer") from error
        finally:
            self._replies.pop(number, None)
            if not reply.over.is_set():
                self._cancel(number)
            if self._closing and not self._replies:
                self.close()
        if reply.error:
            raise reply.error
        return reply

    def retire(self) -> None:
        """Let the last request in flight close the connection."""
        self._closing = True
        if not self._replies:
            self.close()

    def close(self) -> None:
        """Close the connection; requests in flight fail."""
        self._closing = True
        self._reader.kill(block=False)
        self._socket.close()

    def _send_body(self, number: int, body: bytes, reply: Http2Reply) -> None:
        # A server may answer before it has read the whole request, for example with an error.
        while body and not reply.over.is_set():
            self._window.clear()
            size = min(self._state.local_flow_control_window(number), self._state.max_outbound_frame_size, len(body))
            if size:
                part, body = body[:size], body[size:]
                self._state.send_data(number, part, end_stream=not body)
                self._flush()
            else:
                self._window.wait()

    def _cancel(self, number: int) -> None:
        """Tell the server that a response is not wanted any more, so that it stops sending it."""
        try:
            self._state.reset_stream(number, 8)
            self._flush()
        except (ProtocolError, OSError):
            self._closing = True

    def _flush(self) -> None:
        # The frames of two requests must not mix.
        with self._sending:
            if data := self._state.data_to_send():
                self._socket.sendall(data)

    def _read(self) -> None:
        try:
            while data := self._socket.recv(READ):
                for event in self._state.receive_data(data):
                    self._take(event)
                self._flush()
            self._fail(ConnectionAbortedError("closed without an answer"))
        except ProtocolError:
            self._fail(ConnectionAbortedError("broken answer"))
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._closing = True
        self._window.set()
        for reply in self._replies.values():
            reply.error = error
            reply.over.set()
        if not self._replies:
            self._socket.close()

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            # The server still answers what it has accepted; only new requests need another connection.
            self._closing = True
        self._window.set()
        reply = self._replies.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            # Also for a response that is not wanted any more: its data counts against the connection's window.
            self._state.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        if reply is not None:
            _add(reply, event)


def _add(reply: Http2Reply, event: Event) -> None:
    if isinstance(event, ResponseReceived | TrailersReceived):
        found = {str(name): str(value) for name, value in event.headers or ()}
        reply.status = int(found.pop(":status", reply.status))
        reply.headers |= found
    elif isinstance(event, DataReceived):
        reply.chunks.append(event.data or b"")
    elif isinstance(event, StreamReset):
        reply.error = ConnectionResetError("the stream was reset")
        reply.over.set()
    elif isinstance(event, StreamEnded):
        reply.over.set()

"""A scripted HTTP server on loopback, for tests of the transport: each path has a handler, each request is recorded."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Exchange(BaseHTTPRequestHandler):
    """One request, with the ways to answer it that tests need."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Tests read the record instead."""

    def body(self) -> Any:
        length = int(self.headers.get("Content-Length") or 0)
        return json.loads(self.rfile.read(length)) if length else None

    def answer(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self._say_whether_it_ends()
        self.end_headers()
        self.wfile.write(data)

    def _say_whether_it_ends(self) -> None:
        if self.close_connection:
            self.send_header("Connection", "close")

    def begin_chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self._say_whether_it_ends()
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def upgrade(self) -> None:
        """Accept a WebSocket (RFC 6455)."""
        digest = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + _WEBSOCKET_GUID).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(digest).decode())
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        self.close_connection = True

    def frame(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel, as one binary frame."""
        payload = bytes([channel]) + data
        length = len(payload)
        head = bytes([0x82, length]) if length < 126 else bytes([0x82, 126]) + length.to_bytes(2, "big")
        self.wfile.write(head + payload)

    def close_frame(self) -> None:
        self.wfile.write(b"\x88\x02\x03\xe8")

    def drop(self) -> None:
        """Close the connection without another word."""
        self.close_connection = True
        self.connection.close()

    def _handle(self) -> None:
        path, _, query = self.path.partition("?")
        fields = tuple((name.lower(), value) for name, value in self.headers.items())
        certificate = getattr(self.connection, "getpeercert", dict)() or {}
        client = next((value for part in certificate.get("subject", ()) for _, value in part), "")
        seen = LeaseSnapshot(self.command, path, query, dict(self.headers), self.body(), fields, client)
        self.server.script.requests.append(seen)
        self.server.script.handler(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base class calls them so


class ScriptedServer(ThreadingHTTPServer):
    daemon_threads = True
    script: Script

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what these tests are about."""


@dataclass(frozen=True)
class LeaseSnapshot:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    # Every value of every header, in the order of their arrival; the names are in lower case.
    fields: tuple[tuple[str, str], ...] = ()
    client: str = ""

    def values(self, name: str) -> list[str]:
        """All values of a header."""
        return [value for key, value in self.fields if key == name.lower()]


@dataclass
class Script:
    """What the server does. ``release`` is for handlers that hold a request until the test is over."""

    handler: Callable[[Exchange], None] = lambda exchange: exchange.answer(200, {})
    requests: list[LeaseSnapshot] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Script]:
    script = Script()
    server = ScriptedServer(("127.0.0.1", 0), Exchange)
    server.script = script
    if tls:
        # Shaking hands belongs to the thread of the connection: one that fails must not stop the others.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    script.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        script.release.set()
        server.shutdown()
        server.server_close()
        thread.join()

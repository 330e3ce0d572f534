"""The behaviours beside HTTP against servers on loopback, with TLS and without. No cluster."""

from __future__ import annotations

import hashlib
import socket
import struct
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.traffic.target.endpoint import Access, Tls
from tests.integration.secure_server import Authority, Seen, secure_server
from tests.integration.test_secure_load import NAME, loaded, plan, waits

SERVING = b"\x00\x00\x00\x00\x02\x08\x01"
# The GUID of RFC 6455, section 1.3.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def answered(status: str, body: bytes = SERVING) -> Callable[[Seen], tuple[int, dict[str, str], bytes, dict[str, str]]]:
    return lambda _: (200, {"content-type": "application/grpc"}, body, {"grpc-status": status})


@pytest.mark.parametrize("connection", ["new", "kept"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_grpc_calls_are_sent(authority: Authority, tmp_path: Path, connection: str, secure: bool) -> None:
    access = Access(tls=Tls(NAME, ca=authority.pem) if secure else None)
    pair = authority.issue(NAME) if secure else None
    with secure_server(tmp_path, pair, protocols=["h2"], http2=True) as server:
        server.answer = answered("0")
        given = plan(server, access, {"connection": connection, "service": "shop"}, behaviour="grpc")
        assert {request.outcome for request in loaded(tmp_path, given)} == {"ok"}
    first = server.requests[0]
    assert (first.path, first.body) == ("/grpc.health.v1.Health/Check", b"\x00\x00\x00\x00\x06\x0a\x04shop")
    assert (first.headers["te"], first.headers["grpc-timeout"]) == ("trailers", "2000m")
    connections = {request.connection for request in server.requests}
    assert len(connections) == (1 if connection == "kept" else len(server.requests))


@pytest.mark.parametrize(
    ("options", "answer", "body", "outcome"),
    [
        ({"method": "/shop.Cart/Get", "hex": "0a0131"}, answered("0"), b"\x00\x00\x00\x00\x03\x0a\x011", "ok"),
        (
            {"method": "/shop.Cart/Get", "json": {"id": 1}},
            answered("5"),
            b'\x00\x00\x00\x00\x09{"id": 1}',
            "grpc status 5",
        ),
        ({"method": "/shop.Cart/Get", "expect": 5}, answered("5"), b"\x00\x00\x00\x00\x00", "ok"),
        ({}, answered("0", b"\x00\x00\x00\x00\x02\x08\x02"), b"\x00\x00\x00\x00\x00", "not serving"),
    ],
)
def test_grpc_outcome_is_the_status(
    tmp_path: Path, options: dict[str, object], answer: Callable[[Seen], object], body: bytes, outcome: str
) -> None:
    with secure_server(tmp_path, http2=True) as server:
        server.answer = answer  # type: ignore[assignment]
        given = plan(server, Access(), options, behaviour="grpc")
        if outcome == "ok":
            assert {request.outcome for request in loaded(tmp_path, given)} == {"ok"}
        else:
            assert waits(tmp_path, given, outcome)
    assert server.requests[0].body == body


def redis(connection: socket.socket) -> None:
    """Answers PING with PONG in two parts, and closes for anything else."""
    while data := connection.recv(100):
        if data != b"PING\r\n":
            connection.sendall(b"-ERR")
            return
        connection.sendall(b"+PO")
        connection.sendall(b"NG\r\n")


@pytest.mark.parametrize("connection", ["new", "kept"])
def test_tcp_waits_for_the_expected_bytes(authority: Authority, tmp_path: Path, connection: str) -> None:
    access = Access(tls=Tls(NAME, ca=authority.pem))
    with secure_server(tmp_path, authority.issue(NAME), talk=redis) as server:
        options = {"sendHex": b"PING\r\n".hex(), "expect": "+PONG\r\n", "connection": connection}
        seen = loaded(tmp_path, plan(server, access, options, behaviour="tcp"))
    assert {(request.name, request.outcome) for request in seen} == {("TCP", "ok")}


def test_tcp_names_what_went_wrong(tmp_path: Path) -> None:
    with secure_server(tmp_path, talk=redis) as server:
        wrong = plan(server, Access(), {"send": "HELLO", "expect": "+PONG"}, behaviour="tcp")
        assert waits(tmp_path / "wrong", wrong, "unexpected answer")
        silent = plan(server, Access(), {"expect": "+PONG", "readTimeout": "200ms"}, behaviour="tcp")
        assert waits(tmp_path / "silent", silent, "timeout")
    closed = plan(server, Access(), {}, behaviour="tcp")
    assert waits(tmp_path / "closed", closed, "refused")


def echo(connection: socket.socket) -> None:
    """A WebSocket server (RFC 6455) that sends a ping and then the message back."""
    head = b""
    while b"\r\n\r\n" not in head:
        new = connection.recv(1000)
        if not new:
            return
        head += new
    if not head.startswith(b"GET /api/chat HTTP/1.1\r\nUpgrade: websocket") or b"Host: shop.test\r\n" not in head:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    key = head.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    accept = b64encode(hashlib.sha1(key + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while frame := connection.recv(1000):
        if frame[0] & 0x0F == 1:
            size = frame[1] & 0x7F
            mask, masked = frame[2:6], frame[6 : 6 + size]
            text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(masked))
            connection.sendall(b"\x89\x00" + struct.pack("BB", 0x81, len(text)) + text)


@pytest.mark.parametrize("connection", ["new", "kept"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_websocket_gets_its_message_back(authority: Authority, tmp_path: Path, connection: str, secure: bool) -> None:
    access = Access(NAME, "/api", tls=Tls(NAME, ca=authority.pem) if secure else None)
    with secure_server(tmp_path, authority.issue(NAME) if secure else None, talk=echo) as server:
        options = {"path": "/chat", "send": "hello", "expect": "hello", "connection": connection}
        seen = loaded(tmp_path, plan(server, access, options, behaviour="websocket"))
    assert {(request.name, request.outcome) for request in seen} == {("WS /chat", "ok")}


def test_websocket_names_what_went_wrong(tmp_path: Path) -> None:
    access = Access(NAME, "/api")
    with secure_server(tmp_path, talk=echo) as server:
        refused = plan(server, access, {"path": "/other"}, behaviour="websocket")
        assert waits(tmp_path / "refused", refused, "404")
        other = plan(server, access, {"path": "/chat", "expect": "something else"}, behaviour="websocket")
        assert waits(tmp_path / "other", other, "unexpected answer")

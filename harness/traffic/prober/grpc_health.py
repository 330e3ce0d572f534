"""The probe of the gRPC health service (grpc.health.v1.Health/Check).

Implemented with h2: grpcio would add 15 MB and background threads for a message of two bytes. Protocol: gRPC over
HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), messages: grpc/health/v1/health.proto.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

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
from h2.exceptions import ProtocolError as H2Error

from harness.traffic.prober.exchange import READ, Connection, ProtocolError
from harness.traffic.prober.wire import OK, StreamSettings
from harness.traffic.target.endpoint import replaced
from harness.traffic.target.tls import HTTP_2

PATH = "/grpc.health.v1.Health/Check"
# HealthCheckResponse.ServingStatus.
STATUSES = {0: "unknown", 1: OK, 2: "not serving", 3: "service unknown"}


def request_message(service: str) -> bytes:
    """Encode a HealthCheckRequest with gRPC's prefix: not compressed, the length, then field 1 unless empty."""
    name = service.encode()
    body = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def serving_status(message: bytes) -> str:
    """Return the outcome of a HealthCheckResponse with gRPC's prefix. Raises ProtocolError."""
    body = message[5:]
    if len(message) < 5 or message[0] != 0 or int.from_bytes(message[1:5], "big") != len(body):
        raise ProtocolError(f"not one uncompressed gRPC message: {message[:20]!r}")
    # Protocol buffers (proto3) omit a field with the default value, which is UNKNOWN.
    if not body:
        return STATUSES[0]
    if len(body) != 2 or body[0] != 0x08:
        raise ProtocolError(f"not a HealthCheckResponse: {body[:20]!r}")
    return STATUSES.get(body[1], f"status {body[1]}")


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


@dataclass
class _Call:
    """The response of one call so far."""

    status: str = ""
    grpc_status: str = ""
    body: bytearray = field(default_factory=bytearray)
    over: bool = False

    def outcome(self) -> str:
        if self.status != "200":
            return self.status or "broken answer"
        if self.grpc_status != "0":
            return f"grpc status {self.grpc_status or 'missing'}"
        return serving_status(bytes(self.body))


class GrpcHealthConnection(Connection):
    """An HTTP/2 connection for one check after another. Option: service, empty for the server as a whole."""

    alpn = HTTP_2

    def __init__(self, settings: StreamSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(settings, reader, writer)
        self._state = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._state.initiate_connection()
        self._message = request_message(settings.options["service"])
        self._closing = False
        self._authorization = replaced(settings.access.authorization, os.environ)

    async def ask(self) -> str:
        call = _Call()
        try:
            number = self._send()
            while not call.over:
                new = await self.reader.read(READ)
                if not new:
                    raise EOFError("closed without an answer")
                for event in self._state.receive_data(new):
                    self._take(call, number, event)
                self._flush()
        except H2Error as error:
            raise ProtocolError(str(error)) from error
        return call.outcome()

    @property
    def reusable(self) -> bool:
        return super().reusable and not self._closing

    def accept(self, unsolicited: bytes) -> bool:
        """Answer settings, pings and window updates; return False after a GOAWAY, which ends the connection's use."""
        try:
            events = self._state.receive_data(unsolicited)
        except H2Error:
            return False
        self._closing = self._closing or any(isinstance(event, ConnectionTerminated) for event in events)
        self._flush()
        return not self._closing

    def _send(self) -> int:
        access = self.settings.access
        number = self._state.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https" if access.tls else "http"),
            (":path", PATH),
            (":authority", self.settings.authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "resilience-harness-prober"),
            *((("authorization", self._authorization),) if self._authorization else ()),
        ]
        self._state.send_headers(number, headers)
        self._state.send_data(number, self._message, end_stream=True)
        self._flush()
        return number

    def _flush(self) -> None:
        self.writer.write(self._state.data_to_send())

    def _take(self, call: _Call, number: int, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            # The server still answers this call; only the next one needs another connection.
            self._closing = True
        if getattr(event, "stream_id", None) != number:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            headers = {str(name): str(value) for name, value in event.headers or ()}
            call.status = headers.get(":status", call.status)
            call.grpc_status = headers.get("grpc-status", call.grpc_status)
        elif isinstance(event, DataReceived):
            call.body += event.data or b""
            # Without it the answers would use up the flow-control window of the connection, initially 65,535 bytes.
            self._state.acknowledge_received_data(event.flow_controlled_length or 0, number)
        elif isinstance(event, StreamReset):
            raise ConnectionResetError("the stream was reset")
        elif isinstance(event, StreamEnded):
            call.over = True

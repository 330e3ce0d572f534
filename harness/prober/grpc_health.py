"""A probe of the gRPC health service (grpc.health.v1.Health/Check).

Spoken over h2: grpcio brings 15 MB and threads of its own for a message of two bytes. Protocol: gRPC over HTTP/2
(grpc/doc/PROTOCOL-HTTP2.md), messages: grpc/health/v1/health.proto.
"""

from __future__ import annotations

import asyncio
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

from harness.prober.exchange import READ, Connection, ProtocolError
from harness.prober.wire import OK, StreamSettings

PATH = "/grpc.health.v1.Health/Check"
# HealthCheckResponse.ServingStatus.
STATUSES = {0: "unknown", 1: OK, 2: "not serving", 3: "service unknown"}


def request_message(service: str) -> bytes:
    """A HealthCheckRequest with gRPC's prefix: not compressed, length, and field 1 when it is not empty."""
    name = service.encode()
    body = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(body).to_bytes(4, "big") + body


def serving_status(message: bytes) -> str:
    """The outcome that a HealthCheckResponse with gRPC's prefix stands for. Raises ProtocolError."""
    body = message[5:]
    if len(message) < 5 or message[0] != 0 or int.from_bytes(message[1:5], "big") != len(body):
        raise ProtocolError(f"not one uncompressed gRPC message: {message[:20]!r}")
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
    """What has come of one call so far."""

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
    """One check after another over one HTTP/2 connection. The option: service, empty for the server as a whole."""

    def __init__(self, settings: StreamSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(settings, reader, writer)
        self._state = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._state.initiate_connection()
        self._message = request_message(settings.options["service"])
        self._closing = False

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

    def heed(self, unasked: bytes) -> bool:
        """Settings, pings and windows are answered; after a GOAWAY the next call needs another connection."""
        try:
            events = self._state.receive_data(unasked)
        except H2Error:
            return False
        self._closing = self._closing or any(isinstance(event, ConnectionTerminated) for event in events)
        self._flush()
        return not self._closing

    def _send(self) -> int:
        number = self._state.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", PATH),
            (":authority", f"{self.settings.host}:{self.settings.port}"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "resilience-harness-prober"),
        ]
        self._state.send_headers(number, headers)
        self._state.send_data(number, self._message, end_stream=True)
        self._flush()
        return number

    def _flush(self) -> None:
        self.writer.write(self._state.data_to_send())

    def _take(self, call: _Call, number: int, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            # What was already sent is still answered; only the next call needs another connection.
            self._closing = True
        if getattr(event, "stream_id", None) != number:
            return
        if isinstance(event, ResponseReceived | TrailersReceived):
            headers = {str(name): str(value) for name, value in event.headers or ()}
            call.status = headers.get(":status", call.status)
            call.grpc_status = headers.get("grpc-status", call.grpc_status)
        elif isinstance(event, DataReceived):
            call.body += event.data or b""
            self._state.acknowledge_received_data(event.flow_controlled_length or 0, number)
        elif isinstance(event, StreamReset):
            raise ConnectionResetError("the stream was reset")
        elif isinstance(event, StreamEnded):
            call.over = True

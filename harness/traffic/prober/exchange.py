"""The parts of a probe that are common to all protocols: over a new connection, or over one that is kept.

An exchange returns its outcome: ``ok`` or a short reason. It raises OSError, EOFError or ProtocolError if the
connection failed, which ``outcome_of`` converts to an outcome. No request is ever retried.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, ClassVar

from harness.traffic.prober.wire import OK, StreamSettings
from harness.traffic.retired_ports import RetiredPorts, family_of
from harness.traffic.target.endpoint import Tls, replaced
from harness.traffic.target.tls import NoProtocol, check_protocol, context_of, tls_outcome

READ = 65536


class ProtocolError(Exception):
    """The response violates the protocol."""


class Connection(ABC):
    """An established TCP connection, used by one probe at a time. ``alpn`` is what TLS negotiates; may be empty."""

    alpn: ClassVar[str] = ""

    def __init__(self, settings: StreamSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.settings, self.reader, self.writer = settings, reader, writer

    @abstractmethod
    async def ask(self) -> str:
        """Send one request and read the response; return the outcome."""

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: the last one is complete, and the server has not closed."""
        return not (self.reader.at_eof() or self.writer.is_closing() or self.reader.exception())

    async def still_usable(self) -> bool:
        """Return whether the idle connection may be used again, given the data that has arrived; never waits."""
        if not self.reusable:
            return False
        try:
            # Read only what is already there. A request on a connection that the server is closing would fail without
            # a fault of the service, and real clients avoid it too.
            async with asyncio.timeout(0):
                unsolicited = await self.reader.read(READ)
        except TimeoutError:
            return True
        except OSError:
            return False
        return bool(unsolicited) and self.accept(unsolicited) and self.reusable

    def accept(self, unsolicited: bytes) -> bool:
        """Process data that arrived without a request; return whether the connection may be used again.

        In most protocols such data is an error.
        """
        del unsolicited
        return False

    def drop(self) -> None:
        """Close the connection at once, without a closing handshake that the server might not answer."""
        with suppress(RuntimeError):
            self.writer.transport.abort()


class Prober(ABC):
    """The prober of one stream."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def probe(self) -> str:
        """Send one probe and return its outcome. Cancelled at its timeout."""


class ConnectedProber(Prober):
    """A prober over connections of one class.

    With ``kept`` one connection stays open. A probe that is due while another one uses it opens a new connection; the
    probe that finishes first leaves its connection as the kept one.
    """

    def __init__(self, settings: StreamSettings, connection: type[Connection], ports: RetiredPorts) -> None:
        super().__init__(settings)
        self._connection, self._ports = connection, ports
        self._family = family_of(settings.host)
        self._idle: Connection | None = None
        self._secure = secured(settings.access.tls, connection.alpn) if settings.access.tls else {}

    async def probe(self) -> str:
        connection = await self._take() or await self._dial()
        keep = False
        try:
            outcome = await connection.ask()
            keep = self.settings.kept and connection.reusable and self._idle is None
        finally:
            if keep:
                self._idle = connection
            else:
                connection.drop()
        return outcome

    async def _take(self) -> Connection | None:
        # Taken out before the first await, so that no concurrent probe uses the same connection.
        connection, self._idle = self._idle, None
        if connection is None:
            return None
        usable = False
        try:
            usable = await connection.still_usable()
        finally:
            if not usable:
                connection.drop()
        return connection if usable else None

    async def _dial(self) -> Connection:
        address = (self.settings.host, self.settings.port)
        if self._family is None:
            return self._made(*await asyncio.open_connection(*address, **self._secure))
        dialled = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            # loop.sock_connect requires a non-blocking socket.
            dialled.setblocking(False)
            await asyncio.get_running_loop().sock_connect(dialled, address)
            streams = await asyncio.open_connection(sock=dialled, **self._secure)
        except BaseException as error:
            # BaseException, since the probe is cancelled at its timeout.
            self._ports.close(dialled, error)
            raise
        return self._made(*streams)

    def _made(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connection:
        connection = self._connection(self.settings, reader, writer)
        if self._secure:
            try:
                check_protocol(writer.get_extra_info("ssl_object").selected_alpn_protocol(), self._connection.alpn)
            except OSError:
                connection.drop()
                raise
        return connection


def secured(tls: Tls, protocol: str) -> dict[str, Any]:
    """Return the arguments for TLS of ``asyncio.open_connection``. Raises ValueError for unusable certificates."""
    context = context_of(tls, replaced(tls.key, os.environ), (protocol,) if protocol else ())
    return {"ssl": context, "server_hostname": tls.server_name}


class TcpConnection(Connection):
    """A TCP connection without an exchange: being established is success."""

    async def ask(self) -> str:
        return OK


_WORDS: dict[type[BaseException], str] = {
    TimeoutError: "timeout",
    ConnectionRefusedError: "refused",
    ConnectionResetError: "reset",
    BrokenPipeError: "reset",
    EOFError: "closed without an answer",
    ProtocolError: "broken answer",
}
_BY_NUMBER = {errno.ENETUNREACH: "unreachable", errno.EHOSTUNREACH: "no route"}


def outcome_of(error: BaseException) -> str:
    """Return the outcome for the error that ended a probe; the words are those of the load generator."""
    if isinstance(error, ssl.SSLError):
        return tls_outcome(error)
    if isinstance(error, NoProtocol):
        return str(error)
    for kind, word in _WORDS.items():
        if isinstance(error, kind):
            return word
    number = error.errno if isinstance(error, OSError) else None
    return _BY_NUMBER.get(number or 0, type(error).__name__)

"""What one probe does, whatever the protocol: over a connection of its own, or over one that is kept.

An exchange ends in a word: ``ok``, or why not. It raises OSError, EOFError or ProtocolError for what happened to the
connection, which ``outcome_of`` turns into a word; nothing is ever sent twice.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from abc import ABC, abstractmethod
from contextlib import suppress

from harness.prober.wire import OK, StreamSettings
from harness.retired_ports import RetiredPorts, family_of

READ = 65536


class ProtocolError(Exception):
    """The answer is not what the protocol allows."""


class Connection(ABC):
    """One TCP connection, dialled; spoken over by one probe at a time."""

    def __init__(self, settings: StreamSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.settings, self.reader, self.writer = settings, reader, writer

    @abstractmethod
    async def ask(self) -> str:
        """One exchange; returns its outcome."""

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: the last one is over, and the other side has not closed."""
        return not (self.reader.at_eof() or self.writer.is_closing() or self.reader.exception())

    async def rested(self) -> bool:
        """Whether it may be used again after a rest, in the light of what has arrived meanwhile; waits for nothing."""
        if not self.reusable:
            return False
        try:
            # Read at once when there is something: asking over a connection that was given notice would be no failure
            # of the service, and no client would do it.
            async with asyncio.timeout(0):
                unasked = await self.reader.read(READ)
        except TimeoutError:
            return True
        except OSError:
            return False
        return bool(unasked) and self.heed(unasked) and self.reusable

    def heed(self, unasked: bytes) -> bool:
        """Whether another exchange may follow what arrived unasked for: in most protocols nothing may."""
        del unasked
        return False

    def drop(self) -> None:
        """Let go of it at once, without a farewell that the other side might not answer."""
        with suppress(RuntimeError):
            self.writer.transport.abort()


class Prober(ABC):
    """Makes the probes of one stream."""

    def __init__(self, settings: StreamSettings) -> None:
        self.settings = settings

    @abstractmethod
    async def probe(self) -> str:
        """One probe; returns its outcome. Cancelled when its time is over."""


class ConnectedProber(Prober):
    """Probes over connections of one class.

    With ``kept`` one connection stays open. A probe that is due while another one is using it dials for itself; the
    first to finish leaves its connection as the kept one.
    """

    def __init__(self, settings: StreamSettings, connection: type[Connection], ports: RetiredPorts) -> None:
        super().__init__(settings)
        self._connection, self._ports = connection, ports
        self._family = family_of(settings.host)
        self._idle: Connection | None = None

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
        connection, self._idle = self._idle, None
        if connection is None:
            return None
        usable = False
        try:
            usable = await connection.rested()
        finally:
            if not usable:
                connection.drop()
        return connection if usable else None

    async def _dial(self) -> Connection:
        address = (self.settings.host, self.settings.port)
        if self._family is None:
            return self._connection(self.settings, *await asyncio.open_connection(*address))
        dialled = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            dialled.setblocking(False)
            await asyncio.get_running_loop().sock_connect(dialled, address)
            streams = await asyncio.open_connection(sock=dialled)
        except BaseException as error:
            # Also when it is cancelled, since its time is over.
            self._ports.close(dialled, error)
            raise
        return self._connection(self.settings, *streams)


class TcpConnection(Connection):
    """Nothing is said: that the connection stands is the answer."""

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
    """The word for what ended a probe, the same as the load's for the same."""
    for kind, word in _WORDS.items():
        if isinstance(error, kind):
            return word
    number = error.errno if isinstance(error, OSError) else None
    return _BY_NUMBER.get(number or 0, type(error).__name__)

"""The HTTP/1.1 probe. h11 parses the response; redirects are not followed."""

from __future__ import annotations

import asyncio
import os

import h11

from harness.traffic.prober.exchange import READ, Connection, ProtocolError
from harness.traffic.prober.wire import OK, StreamSettings
from harness.traffic.target.endpoint import replaced
from harness.traffic.target.tls import HTTP_1


class HttpConnection(Connection):
    """A connection for one exchange after another. Options: method, path and status (0: any below 400)."""

    alpn = HTTP_1

    def __init__(self, settings: StreamSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(settings, reader, writer)
        self._state = h11.Connection(h11.CLIENT)
        self._answered = False
        authorization = replaced(settings.access.authorization, os.environ)
        self._request = h11.Request(
            method=settings.options["method"],
            target=settings.access.path(settings.options["path"]),
            headers=[
                ("Host", settings.authority),
                ("User-Agent", "resilience-harness-prober"),
                ("Connection", "keep-alive" if settings.kept else "close"),
                *((("Authorization", authorization),) if authorization else ()),
            ],
        )

    async def ask(self) -> str:
        state, self._answered = self._state, False
        try:
            self.writer.write((state.send(self._request) or b"") + (state.send(h11.EndOfMessage()) or b""))
            status = await self._answer()
        except h11.RemoteProtocolError as error:
            if not self._answered:
                raise EOFError("closed without an answer") from error
            raise ProtocolError(str(error)) from error
        if state.our_state is h11.DONE and state.their_state is h11.DONE:
            state.start_next_cycle()
        wanted = self.settings.options["status"]
        good = status == wanted if wanted else status < 400
        return OK if good else str(status)

    @property
    def reusable(self) -> bool:
        # Data that follows a response cannot be the response to the next request.
        return super().reusable and self._state.our_state is h11.IDLE and not self._state.trailing_data[0]

    async def _answer(self) -> int:
        status = 0
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                new = await self.reader.read(READ)
                self._answered = self._answered or bool(new)
                self._state.receive_data(new)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.EndOfMessage):
                return status
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError("closed without an answer")

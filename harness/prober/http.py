"""An HTTP/1.1 probe. h11 parses the answer; redirects are answers, not followed."""

from __future__ import annotations

import asyncio

import h11

from harness.prober.exchange import READ, Connection, ProtocolError
from harness.prober.wire import OK, StreamSettings


class HttpConnection(Connection):
    """One exchange after another over one connection. The options: method, path, and status (0: any below 400)."""

    def __init__(self, settings: StreamSettings, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(settings, reader, writer)
        self._state = h11.Connection(h11.CLIENT)
        self._answered = False
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._request = h11.Request(
            method=settings.options["method"],
            target=settings.options["path"],
            headers=[
                ("Host", f"{host}:{settings.port}"),
                ("User-Agent", "resilience-harness-prober"),
                ("Connection", "keep-alive" if settings.kept else "close"),
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
        # What came right behind an answer is none to the next request.
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

"""An HTTP server that answers every request at once with the same two bytes, as cheaply as Python can.

``python -m benchmarks.quick_server``: the port is printed. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

from harness.traffic.priority import raise_priority

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
END = b"\r\n\r\n"


class Quick(asyncio.Protocol):
    """A connection. Requests have no body, and a connection has one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        if self._read.endswith(END):
            self._read = b""
            self._transport.write(ANSWER)


async def main() -> None:
    # As the generator: other work on this machine shall not make the target the limit.
    raise_priority()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Quick, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())

"""A target on loopback whose faults are known: paths misbehave, each in its own way, and a gate holds all answers."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s"
GOOD = ANSWER % (b"200 OK", 2, b"", b"hi")
WHOLE = {
    "/503": ANSWER % (b"503 Service Unavailable", 4, b"", b"busy"),
    "/elsewhere": ANSWER % (b"302 Found", 0, b"Location: /silent\r\n", b""),
}
# What is sent before the connection closes.
CUT_OFF = {
    "/close": b"",
    "/reset": b"",
    "/silent": b"",
    "/cut": ANSWER % (b"200 OK", 1000, b"", b"only this"),
    "/broken": b"this is not HTTP\r\n\r\n",
}
SILENT_SECONDS = 30


class Target:
    """One thread a connection; enough for a few hundred requests a second."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.paths: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self._closing = threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Stop listening and let every waiting connection go."""
        self._closing.set()
        self.gate.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while (head := _head(connection)) and self._answer(connection, head):
                if b"connection: close" in head.lower():
                    return

    def _answer(self, connection: socket.socket, head: bytes) -> bool:
        """Answer one request; False when the connection is not to be used any more."""
        path = head.split(b" ")[1].decode()
        self.paths.append(path)
        self.gate.wait()
        if path not in CUT_OFF:
            connection.sendall(WHOLE.get(path, GOOD))
            return True
        if path == "/reset":
            # Closing with a linger of zero sends RST instead of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif path == "/silent":
            self._closing.wait(SILENT_SECONDS)
        connection.sendall(CUT_OFF[path])
        return False


def _head(connection: socket.socket) -> bytes:
    """The head of a request, or nothing when the other side closed. No test sends a body."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        try:
            new = connection.recv(65536)
        except ConnectionResetError:
            return b""
        if not new:
            return b""
        head += new
    return head


@contextmanager
def serving() -> Iterator[Target]:
    """A target for the length of a block."""
    target = Target()
    try:
        yield target
    finally:
        target.close()

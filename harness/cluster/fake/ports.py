"""Ports of pods in the fake cluster: HTTP servers that record their requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PodRequest:
    """A request that reached a port of a pod."""

    pod: str
    port: int
    method: str
    path: str
    body: str


class HttpPort:
    """A ``PodStream`` to a server that answers each request with the status that ``answer`` returns."""

    def __init__(self, pod: str, port: int, answer: Callable[[PodRequest], int] = lambda _request: 200) -> None:
        self._pod, self._port, self._answer = pod, port, answer
        self._data = b""

    def send(self, data: bytes) -> None:
        """Read one whole request and answer it."""
        head, _, body = data.decode().partition("\r\n\r\n")
        method, path, _ = head.partition("\r\n")[0].split(" ")
        status = self._answer(PodRequest(self._pod, self._port, method, path, body))
        self._data += f"HTTP/1.1 {status} Status\r\nContent-Length: 6\r\n\r\nanswer".encode()

    def receive(self, timeout: float) -> bytes:
        """Return the answer, and nothing after it."""
        del timeout
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        """Do nothing."""

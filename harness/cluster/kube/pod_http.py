"""One HTTP request to a pod, over a forwarded port.

Not the API server's pod proxy: a forwarded port also reaches a server that listens on the pod's localhost only, as
ports for management often do, and an error of the API server cannot be mistaken for an answer of the pod.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.port_forward import PodStream

# Of the body, for messages.
_MOST_READ = 500


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a port of a pod."""

    port: int
    method: str
    path: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The status of an answer, and the beginning of its body."""

    status: int
    text: str


def send(api: KubeApi, namespace: str, pod: str, request: HttpRequest, timeout: float = 5.0) -> Answer:
    """Send a request and return its answer; never sent again. Raises ApiError, and OSError if the pod does not answer.

    ``timeout`` is in seconds, for the connection and for each part of the answer.
    """
    content = request.body.encode()
    head = [
        f"{request.method} {request.path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {len(content)}",
    ]
    stream = api.forward(namespace, pod, request.port, timeout)
    try:
        stream.send("\r\n".join([*head, "", ""]).encode() + content)
        # A socket to read from is all that the response needs.
        response = HTTPResponse(cast("Any", _Readable(stream, timeout)), method=request.method)
        response.begin()
        return Answer(response.status, response.read(_MOST_READ).decode(errors="replace").strip())
    except HTTPException as error:
        raise ConnectionError(f"found no HTTP answer: {error!r}") from error
    finally:
        stream.close()


class _Readable(io.RawIOBase):
    """The reading side of a connection to a pod."""

    def __init__(self, stream: PodStream, timeout: float) -> None:
        self._stream, self._timeout, self._pending = stream, timeout, b""

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return a file to read from, as a socket does."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  typeshed has its type only for type checkers
        data = self._pending or self._stream.receive(self._timeout)
        count = min(len(buffer), len(data))
        buffer[:count], self._pending = data[:count], data[count:]
        return count

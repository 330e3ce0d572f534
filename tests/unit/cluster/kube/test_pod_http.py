"""HTTP requests over forwarded ports of pods."""

from __future__ import annotations

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.pod_http import Answer, HttpRequest, send


class Port:
    """A connection that returns these pieces, and then ends."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces, self.sent, self.closed = [*pieces], b"", False

    def send(self, data: bytes) -> None:
        self.sent += data

    def receive(self, timeout: float) -> bytes:
        del timeout
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed = True


def answer(port: Port) -> Answer:
    cluster = FakeCluster()
    cluster.server.forward = lambda _namespace, _pod, _port: port
    return send(cluster.api, "shop", "web-0", HttpRequest(8081, "PUT", "/a?b=c", "on"))


def test_request_is_written_as_http() -> None:
    port = Port(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert answer(port) == Answer(204, "")
    assert port.sent.splitlines()[0] == b"PUT /a?b=c HTTP/1.1"
    assert port.sent.endswith(b"Content-Length: 2\r\n\r\non")
    assert port.closed


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_answer_may_arrive_in_pieces_of_any_size(size: int) -> None:
    whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\nno more"
    port = Port(*(whole[at : at + size] for at in range(0, len(whole), size)))
    assert answer(port) == Answer(503, "no more")


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 20",), (b"garbage\r\n\r\n",)])
def test_connection_without_an_answer_is_an_error(pieces: tuple[bytes, ...]) -> None:
    port = Port(*pieces)
    with pytest.raises(ConnectionError, match="found no HTTP answer"):
        answer(port)
    assert port.closed

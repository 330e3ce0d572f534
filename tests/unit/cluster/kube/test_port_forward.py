"""A connection to a port of a pod: the protocol of the kubelet, its errors, and lost connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import pytest

from harness.cluster.kube.transport import HttpTransport
from harness.common.errors import ApiError, ClusterRefused
from tests.unit.cluster.http_server import Exchange, Script, serving
from tests.unit.cluster.kube.test_transport import _status, _transport

PORT = (9645).to_bytes(2, "little")


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script


@pytest.fixture
def transport(script: Script) -> HttpTransport:
    return _transport(script.url)


def forwarding(*frames: tuple[int, bytes], close: bool = True) -> Callable[[Exchange], None]:
    """A kubelet that names the port on both channels, then sends these frames."""

    def run(exchange: Exchange) -> None:
        exchange.upgrade()
        for channel, data in ((0, PORT), (1, PORT), *frames):
            exchange.frame(channel, data)
        if close:
            exchange.close_frame()

    return run


def test_data_of_the_pod_arrives_without_the_port_number(transport: HttpTransport, script: Script) -> None:
    script.handler = forwarding((0, b"one"), (0, b""), (0, b"two"))
    connection = transport.forward("shop", "web-0", 9645, 5)
    assert [connection.receive(5), connection.receive(5), connection.receive(5)] == [b"one", b"two", b""]
    connection.close()
    (seen,) = script.requests
    assert (seen.path, parse_qs(seen.query)) == (
        "/api/v1/namespaces/shop/pods/web-0/portforward",
        {"ports": ["9645"]},
    )


def test_port_that_nothing_listens_on_is_a_lost_connection(transport: HttpTransport, script: Script) -> None:
    script.handler = forwarding((1, b"connection refused"))
    with pytest.raises(ConnectionError, match="the kubelet cannot forward to the pod: connection refused"):
        transport.forward("shop", "web-0", 9645, 5).receive(5)


def test_dropped_connection_is_an_os_error(transport: HttpTransport, script: Script) -> None:
    script.handler = forwarding((0, b"one"), close=False)
    connection = transport.forward("shop", "web-0", 9645, 5)
    assert connection.receive(5) == b"one"
    with pytest.raises(OSError, match="lost"):
        connection.receive(5)


def test_silent_pod_times_out(transport: HttpTransport, script: Script) -> None:
    def run(exchange: Exchange) -> None:
        exchange.upgrade()
        script.release.wait(60)

    script.handler = run
    with pytest.raises(OSError, match="lost"):
        transport.forward("shop", "web-0", 9645, 5).receive(0.1)


def test_refusal_keeps_the_message_of_the_server(transport: HttpTransport, script: Script) -> None:
    script.handler = lambda exchange: exchange.answer(403, _status(403, "Forbidden", "no pods/portforward"))
    with pytest.raises(ApiError, match="no pods/portforward") as caught:
        transport.forward("shop", "web-0", 9645, 5)
    assert caught.value.status == 403


def test_dry_run_connects_to_no_pod() -> None:
    from harness.cluster.fake.cluster import FakeCluster

    api = FakeCluster().api
    api.read_only()
    with pytest.raises(ClusterRefused, match="a dry run connects to no pods"):
        api.forward("shop", "web-0", 9645)

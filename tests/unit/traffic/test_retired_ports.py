"""Ports that nobody answered on are given to no connection for a while; real sockets, on loopback."""

from __future__ import annotations

import errno
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.traffic.retired_ports import HOLD_SECONDS, RetiredPorts, family_of


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening


def dialled(listener: socket.socket) -> socket.socket:
    return socket.create_connection(listener.getsockname())


def is_free(port: int) -> bool:
    with closing(socket.socket()) as tried:
        try:
            tried.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        return True


def unanswered() -> tuple[socket.socket, int]:
    """As after a dial that was given up: the kernel has chosen a port, and there is no connection."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made, made.getsockname()[1]


def test_a_port_is_held_until_its_time_is_over() -> None:
    now = Hand()
    ports = RetiredPorts(0, now)
    first, port = unanswered()
    ports.close(first, TimeoutError())
    assert first.fileno() == -1
    assert not is_free(port)
    now.at = HOLD_SECONDS
    ports.close(unanswered()[0], TimeoutError())
    assert not is_free(port)
    now.at = HOLD_SECONDS + 0.1
    ports.close(unanswered()[0], TimeoutError())
    assert is_free(port)


def test_port_that_refused_is_not_held() -> None:
    made, port = unanswered()
    RetiredPorts(0, Hand()).close(made, ConnectionRefusedError())
    assert made.fileno() == -1
    assert is_free(port)


def test_oldest_port_is_released_for_the_next() -> None:
    ports = RetiredPorts(0, Hand(), most=2)
    numbers = []
    for _ in range(3):
        made, port = unanswered()
        numbers.append(port)
        ports.close(made, TimeoutError())
    assert [is_free(port) for port in numbers] == [True, False, False]


def test_free_file_descriptors_are_reserved() -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for files, held in ((limit, False), (limit - 1, True)):
        ports = RetiredPorts(files, Hand())
        made, port = unanswered()
        ports.close(made, TimeoutError())
        assert is_free(port) is not held


def test_the_kernel_gives_a_held_port_to_no_connection(listener: socket.socket) -> None:
    """Of eight ports to choose from (within the machine's own range) seven dials get one each, and the eighth none."""
    option = 51  # IP_LOCAL_PORT_RANGE
    try:
        listener.setsockopt(socket.IPPROTO_IP, option, struct.pack("HH", 0, 0))
    except OSError:
        pytest.skip("a socket's own range of ports needs Linux 6.3")
    low = next(low for low in range(48_000, 60_000, 8) if all(is_free(low + each) for each in range(8)))
    ports = RetiredPorts(0, Hand())
    made = socket.socket()
    made.bind(("127.0.0.1", low + 3))
    ports.close(made, TimeoutError())
    chosen: set[int] = set()
    open_ones: list[socket.socket] = []
    try:
        for _ in range(8):
            one = socket.socket()
            open_ones.append(one)
            one.setsockopt(socket.IPPROTO_IP, option, struct.pack("HH", low, low + 7))
            try:
                one.connect(listener.getsockname())
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    break
                raise
            chosen.add(one.getsockname()[1])
    finally:
        for one in open_ones:
            one.close()
    assert chosen == {low + each for each in range(8)} - {low + 3}


def test_a_socket_that_never_got_a_port_is_just_closed() -> None:
    fresh = socket.socket()
    RetiredPorts(0, Hand()).close(fresh, TimeoutError())
    assert fresh.fileno() == -1


def test_port_that_cannot_be_held_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made, port = unanswered()

    def none_left(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr("harness.traffic.retired_ports.socket.socket", none_left)
    RetiredPorts(0, Hand()).close(made, TimeoutError())
    monkeypatch.undo()
    assert is_free(port)


def test_literal_addresses_have_a_family() -> None:
    assert (family_of("198.18.0.1"), family_of("::1"), family_of("shop.example")) == (
        socket.AF_INET,
        socket.AF_INET6,
        None,
    )

"""The reflector over real connections: what TCP and HTTP do to a watch costs no event."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from harness.cluster.connection.connection import Connection
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.reflector import Change, Reflector, Watched
from harness.cluster.kube.resources import PODS
from harness.cluster.kube.transport import HttpTransport
from harness.common.clock import FakeClock
from tests.unit.cluster.http_server import Exchange, Script, serving
from tests.unit.watch_script import LeaseSnapshot, event, pod

Watch = Callable[[Exchange], None]


@pytest.fixture
def script() -> Iterator[Script]:
    with serving() as script:
        yield script


class Server:
    """Answers lists with what its watches have told so far, and each watch with the next of ``watches``."""

    def __init__(self, script: Script, stop: threading.Event, *watches: Watch) -> None:
        self.script, self.stop, self.watches = script, stop, list(watches)
        self.listed: list[dict[str, Any]] = []
        script.handler = self.handle

    def handle(self, exchange: Exchange) -> None:
        if "watch=true" not in exchange.path:
            version = max((int(item["metadata"]["resourceVersion"]) for item in self.listed), default=1)
            exchange.answer(200, {"items": self.listed, "metadata": {"resourceVersion": str(version)}})
        elif self.watches:
            exchange.begin_chunks()
            self.watches.pop(0)(exchange)
        else:
            self.stop.set()
            exchange.begin_chunks()
            exchange.chunk(b"")

    def versions(self) -> list[str]:
        queries = [parse_qs(seen.query) for seen in self.script.requests]
        return [query["resourceVersion"][0] for query in queries if "watch" in query]


def follow(script: Script, sink: LeaseSnapshot) -> None:
    api, clock = KubeApi(HttpTransport(Connection(script.url)), FakeClock()), FakeClock()
    Reflector(api, Watched(PODS, "ns"), clock, sink).run(sink.stop)
    api.close()


def tell(exchange: Exchange, *lines: bytes) -> None:
    for line in lines:
        exchange.chunk(line + b"\n")


def hang_up_after(*chunks: bytes) -> Watch:
    def watch(exchange: Exchange) -> None:
        for chunk in chunks:
            exchange.chunk(chunk)
        exchange.drop()

    return watch


def end_after(*chunks: bytes) -> Watch:
    return lambda exchange: [exchange.chunk(chunk) for chunk in (*chunks, b"")] and None


FIRST, SECOND = event("ADDED", pod("a", 2)) + b"\n", event("ADDED", pod("b", 3)) + b"\n"


@pytest.mark.parametrize(
    "cut",
    [
        hang_up_after(FIRST, SECOND[:25]),
        hang_up_after(FIRST + SECOND[:25]),
        end_after(FIRST, SECOND[:25]),
        end_after(FIRST[:9], FIRST[9:] + SECOND[:-1]),
    ],
    ids=["cut inside an event", "cut inside a chunk of two", "ended inside an event", "ended before the line's end"],
)
def test_truncated_event_is_delivered_whole_by_the_next_watch(script: Script, cut: Watch) -> None:
    seen = LeaseSnapshot()
    server = Server(script, seen.stop, cut, end_after(SECOND))
    server.listed = []
    follow(script, seen)
    assert seen.changes == [("ADDED", "uid-a", 2), ("ADDED", "uid-b", 3)]
    assert server.versions()[:2] == ["1", "2"]


def test_clean_end_within_a_chunked_body_loses_nothing(script: Script) -> None:
    """The last chunk is announced and never comes: the server died while it wrote."""

    def dies(exchange: Exchange) -> None:
        exchange.chunk(FIRST)
        exchange.wfile.write(f"{len(SECOND):x}\r\n".encode() + SECOND[:10])
        exchange.drop()

    seen = LeaseSnapshot()
    server = Server(script, seen.stop, dies, end_after(SECOND))
    follow(script, seen)
    assert seen.changes == [("ADDED", "uid-a", 2), ("ADDED", "uid-b", 3)]
    assert seen.log[2][:1] == ("lost",)
    assert server.versions()[1] == "2"


class SlowSink(LeaseSnapshot):
    """Digests nothing more until the server has given up on it."""

    def __init__(self, given_up: threading.Event) -> None:
        super().__init__()
        self.given_up = given_up

    def changed(self, change: Change, at: float) -> None:
        assert self.given_up.wait(30)
        super().changed(change, at)


def test_slow_sink_blocks_the_server_and_loses_no_event(script: Script) -> None:
    lines = [event("MODIFIED", pod("a", number, padding="x" * 100_000)) for number in range(2, 402)]
    given_up, told = threading.Event(), []

    def impatient(exchange: Exchange) -> None:
        exchange.connection.settimeout(0.5)
        try:
            for line in lines:
                told.append(line)
                tell(exchange, line)
        except TimeoutError:
            exchange.drop()
        finally:
            given_up.set()

    def rest(exchange: Exchange) -> None:
        first = int(parse_qs(exchange.path)["resourceVersion"][0])
        tell(exchange, *lines[first - 1 :])
        exchange.chunk(b"")

    seen = SlowSink(given_up)
    Server(script, seen.stop, impatient, rest)
    follow(script, seen)
    assert len(told) < len(lines), "40 MB were swallowed: something queues without bound"
    assert [version for _, _, version in seen.changes] == [*range(2, 402)]
    assert seen.changes[0][0] == "ADDED"

"""Observers are ready or dead before anything is broken, say so when they go blind, and end when they are told to."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import NODES, PODS
from harness.cluster.kube.transport import Request
from harness.common.clock import FakeClock, SystemClock
from harness.common.errors import ApiError, Inconclusive
from harness.model.timeline import Timeline
from harness.probes.base import Sighting, WatchProbe
from harness.probes.observers import Observers
from tests.unit.watch_script import DROP, event, pod


@dataclass
class LiveTransport:
    """A server whose watches hang until a test says a line, an error, or interrupts them."""

    items: list[dict[str, Any]] = field(default_factory=list)
    refusal: ApiError | None = None
    lines: queue.Queue[Any] = field(default_factory=queue.Queue)
    asked: list[str] = field(default_factory=list)
    clones: list[LiveTransport] = field(default_factory=list)
    interrupted: threading.Event = field(default_factory=threading.Event)
    closed: bool = False
    server: str = "live"

    def send(self, request: Request) -> bytes:
        self.asked.append(request.path)
        if self.refusal:
            raise self.refusal
        return json.dumps({"items": self.items, "metadata": {"resourceVersion": "1"}}).encode()

    def stream(self, request: Request) -> Iterator[bytes]:
        while (line := self.lines.get()) is not None:
            if isinstance(line, ApiError):
                raise line
            yield line

    def clone(self) -> LiveTransport:
        twin = LiveTransport(self.items, self.refusal, server=self.server)
        self.clones.append(twin)
        return twin

    def interrupt(self) -> None:
        self.interrupted.set()
        self.lines.put(None)

    def close(self) -> None:
        self.closed = True


class NameProbe(WatchProbe):
    series = "names"
    resource = PODS

    def see(self, event: str, item: dict[str, Any]) -> Iterable[Sighting]:
        yield Sighting(item["metadata"]["name"], {"event": event, "text": item["spec"]["text"]}, wall=5.0)


class NodeNames(NameProbe):
    series = "node names"
    resource = NODES
    namespaced = False


class Stand:
    """Observers of some probes on a live transport."""

    def __init__(self, *probes: WatchProbe, items: list[dict[str, Any]] | None = None, **options: Any) -> None:
        self.transport = LiveTransport(items or [], options.pop("refusal", None))
        self.clock = SystemClock()
        self.timeline = Timeline(self.clock.monotonic(), self.clock.wall())
        cluster: Any = SimpleNamespace(api=KubeApi(self.transport, FakeClock()))
        self.observers = Observers(cluster, "ns", self.timeline, self.clock, probes or (NameProbe(),), **options)

    def tell(self, line: Any) -> None:
        self.transport.clones[0].lines.put(line)

    def wait_for(self, count: int) -> list[Any]:
        """The observations, once there are so many of them (bounded, so that a failing test ends)."""
        for _ in range(1000):
            if len(seen := list(self.timeline)) >= count:
                return seen
            self.clock.sleep(0.005)
        raise AssertionError(f"only {seen}")


def test_every_probe_gets_a_separate_connection_and_scope() -> None:
    stand = Stand(NameProbe(), NodeNames())
    with stand.observers as observers:
        observers.wait_ready(5)
    assert [clone.asked[0] for clone in stand.transport.clones] == ["/api/v1/namespaces/ns/pods", "/api/v1/nodes"]


def test_observation_is_recorded_at_its_arrival_time() -> None:
    stand = Stand(items=[pod("a", 1, text="listed")])
    before = stand.clock.monotonic() - stand.timeline.origin
    with stand.observers as observers:
        observers.wait_ready(5)
        stand.tell(event("ADDED", pod("b", 2, text="watched")))
        first, second = stand.wait_for(2)
    assert (first.series, first.subject, first.value, first.wall) == (
        "names",
        "a",
        {"event": "SYNC", "text": "listed"},
        5.0,
    )
    assert (second.subject, second.value["event"], second.error) == ("b", "ADDED", None)
    assert before <= first.at <= second.at <= stand.clock.monotonic() - stand.timeline.origin


def test_forbidden_observer_is_named_with_the_server_message() -> None:
    stand = Stand(refusal=ApiError(403, "Forbidden", "pods is forbidden"))
    with stand.observers as observers:
        with pytest.raises(Inconclusive, match=r"observer of names \(pods\) died: .*pods is forbidden"):
            observers.wait_ready(5)
        assert "pods is forbidden" in (observers.alive() or "")


def test_silent_observer_is_not_ready_and_gives_the_reason() -> None:
    stand = Stand(refusal=ApiError(503, "Unavailable", "etcd is down"))
    with stand.observers as observers, pytest.raises(Inconclusive, match=r"not ready within 0\.01 s: .*no answer|etcd"):
        observers.wait_ready(0.01)


def test_probe_error_on_an_object_is_recorded() -> None:
    stand = Stand(items=[{"metadata": {"name": "a", "uid": "a", "resourceVersion": "1"}, "spec": {}}])
    with stand.observers as observers, pytest.raises(Inconclusive, match="died: KeyError: 'text'"):
        observers.wait_ready(5)


def test_gap_covers_its_series_from_start_to_end() -> None:
    stand = Stand()
    with stand.observers as observers:
        observers.wait_ready(5)
        stand.tell(DROP)
        began, ended = stand.wait_for(2)
        assert observers.alive() is None
    assert (began.series, began.subject, began.value) == ("names", "", {"gap": "began"})
    assert began.error == "watch of pods lost: ConnectionLost: the peer hung up"
    assert (ended.subject, ended.value) == ("", {"gap": "ended", "complete": True})
    assert ended.error.startswith("watch of pods resumed after ")
    assert began.at <= ended.at


def test_a_gap_longer_than_the_limit_is_no_watching_any_more() -> None:
    stand = Stand(gap_limit=0.0)
    with stand.observers as observers:
        observers.wait_ready(5)
        stand.transport.clones[0].refusal = ApiError(503, "Unavailable", "etcd is down")
        stand.tell(DROP)
        stand.wait_for(1)
        assert "observer of names (pods) has been disconnected for" in (observers.alive() or "")


def test_no_event_is_lost_to_broken_connections_or_compaction() -> None:
    cluster = FakeCluster(SystemClock())
    timeline = Timeline(cluster.clock.monotonic(), cluster.clock.wall())

    def write(name: str, text: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "ns"},
            "spec": {"text": text},
        }
        cluster.api.apply(body, "ns")

    def told(count: int) -> list[tuple[str, str, str]]:
        for _ in range(2000):
            seen = [(one.subject, *one.value.values()) for one in timeline if one.error is None]
            if len(seen) >= count:
                return seen
            cluster.clock.sleep(0.005)
        raise AssertionError(f"only {seen}")

    cluster.server.seed({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})
    write("a", "0")
    with Observers(cluster, "ns", timeline, cluster.clock, [NameProbe()]) as observers:
        observers.wait_ready(5)
        write("a", "1")
        told(2)
        cluster.server.drop_connections()
        write("a", "2")
        write("b", "0")
        told(4)
        with cluster.server.store.changed:
            cluster.server.dropped += 1
            cluster.server.store.changed.notify_all()
            write("a", "3")
            cluster.api.delete(PODS, "b", "ns", grace_seconds=0)
            cluster.server.store.compact()
        seen = told(6)
    assert seen[:4] == [("a", "SYNC", "0"), ("a", "MODIFIED", "1"), ("a", "MODIFIED", "2"), ("b", "ADDED", "0")]
    assert sorted(seen[4:]) == [("a", "MODIFIED", "3"), ("b", "DELETED", "0")]
    ends = [one.value["complete"] for one in timeline if one.error and one.value["gap"] == "ended"]
    assert ends == [True, False]


def test_stop_interrupts_a_hanging_watch_and_its_connection() -> None:
    stand = Stand(NameProbe(), NodeNames())
    stand.observers.start()
    stand.observers.wait_ready(5)
    stand.observers.stop()
    assert all(clone.interrupted.is_set() and clone.closed for clone in stand.transport.clones)
    assert not [thread for thread in threading.enumerate() if thread.name in {"watch-pods", "watch-nodes"}]
    assert stand.observers.alive() is None


def test_no_observation_is_recorded_after_the_end() -> None:
    stand = Stand()
    with stand.observers as observers:
        observers.wait_ready(5)
        clone = stand.transport.clones[0]
        clone.interrupt = lambda: clone.lines.put(event("ADDED", pod("late", 9, text="late")))  # type: ignore[method-assign]
    assert list(stand.timeline) == []

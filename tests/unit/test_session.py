"""A session on kind: what it installs and where, and whose logs it keeps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from harness import session as sessions
from harness.choosing import Chosen
from harness.clock import FakeClock
from harness.cluster.fake import FakeCluster
from harness.cluster.kind import cluster as kind_cluster
from harness.cluster.kind.cluster import KindCluster
from harness.cluster.kind.config import OURS
from harness.cluster.protocol import Cluster
from harness.session import Session
from harness.settings import resolve


class Happened:
    """What a session asked for, and what it said."""

    def __init__(self) -> None:
        self.installed: list[str] = []
        self.logs: list[tuple[str, Path]] = []
        self.taken_down: list[str] = []
        self.said: list[str] = []

    def install(self, _cluster: Cluster, wanted: Collection[str], *_: object) -> set[str]:
        self.installed += wanted
        return set()


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> Happened:
    found = Happened()
    monkeypatch.setattr(sessions, "install", found.install)
    monkeypatch.setattr(sessions, "keep_kind_logs", lambda name, folder, _: found.logs.append((name, folder)))
    monkeypatch.setattr(sessions, "take_down", lambda provider, *_: found.taken_down.append(provider))
    monkeypatch.setattr(kind_cluster.kind, "node_containers", lambda _: set())
    monkeypatch.setattr(kind_cluster.kind, "published_ports", lambda _: {})
    return found


@pytest.fixture
def begin(
    happened: Happened, fake_cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Session]]:
    """A session that has connected to a kind cluster, which it may have made."""
    begun: list[Session] = []

    def connected(labels: dict[str, str], *, made: bool = False, keep: str = "on-failure") -> Session:
        metadata = {"name": "mine-control-plane", "labels": labels}
        info = dict.fromkeys(("kubeletVersion", "osImage", "kernelVersion", "containerRuntimeVersion"), "some")
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"nodeInfo": info}}
        fake_cluster.server.seed(node)
        cluster = KindCluster(fake_cluster.api, None, "kind-mine")
        monkeypatch.setattr(sessions, "choose", lambda *_: Chosen(cluster, made=made))
        chosen = {"resilience_cluster_keep": keep}
        settings = resolve("kind", chosen.get, lambda _: "", {})
        session = Session(settings, tmp_path, "run1", 1, "pytest", happened.said.append, FakeClock())
        begun.append(session)
        session.connect()
        return session

    yield connected
    for session in begun:
        session.close()


def test_an_existing_kind_cluster_is_used_as_it_is(begin: Callable[..., Session], happened: Happened) -> None:
    """Somebody may have chosen what runs in it; nothing would ever take away again what a run put there."""
    begin({})
    assert happened.installed == []
    (said,) = [line for line in happened.said if "made by" in line]
    assert said == "kind-mine was not made by the harness, so going without metrics-server and prometheus"


@pytest.mark.parametrize("made", [True, False])
def test_one_that_a_run_made_now_or_kept_earlier_gets_what_a_run_needs(
    begin: Callable[..., Session], happened: Happened, made: bool
) -> None:
    begin(OURS, made=made)
    assert happened.installed == ["metrics-server", "prometheus"]


@pytest.mark.parametrize(("made", "keep"), [(True, "never"), (True, "on-failure"), (True, "always"), (False, "never")])
def test_after_a_failure_the_logs_are_kept_whether_or_not_the_cluster_is(
    begin: Callable[..., Session], happened: Happened, made: bool, keep: str
) -> None:
    session = begin(OURS, made=made, keep=keep)
    session.take_down(passed=False)
    assert happened.logs == [("mine", session.store.folder)]
    assert happened.taken_down == (["kind"] if made and keep == "never" else [])


def test_logs_are_not_kept_of_what_went_well(begin: Callable[..., Session], happened: Happened) -> None:
    begin(OURS, made=True).take_down(passed=True)
    assert (happened.logs, happened.taken_down) == ([], ["kind"])

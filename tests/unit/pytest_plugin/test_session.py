"""A session on kind: what it installs and where, and whose logs it keeps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kind import cluster as kind_cluster
from harness.cluster.kind.cluster import KindCluster
from harness.cluster.kube.ownership import MADE_BY
from harness.cluster.kube.resources import LEASES
from harness.cluster.protocol import Cluster
from harness.common.naming import COMPONENT_LABEL, RUN_LABEL, SYSTEM_NAMESPACE
from harness.engine.choose_cluster import Chosen
from harness.engine.settings import resolve
from harness.experiment.project_files import ProjectFiles
from harness.pytest_plugin import session as sessions
from harness.pytest_plugin.session import Session
from harness.safety.leases.claim import RUN_COMPONENT, lease_name
from harness.safety.leases.lease import take
from tests.fake_run import WatchedClock


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
    monkeypatch.setattr("harness.pytest_plugin.monitoring.install", found.install)
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
        files = ProjectFiles(tmp_path, settings.guard, settings.halt_file)
        session = Session(settings, tmp_path, files, "run1", 1, "pytest", happened.said.append, WatchedClock())
        begun.append(session)
        session.connect()
        return session

    yield connected
    for session in begun:
        session.close()


def test_existing_kind_cluster_is_used_unchanged(begin: Callable[..., Session], happened: Happened) -> None:
    """Somebody may have chosen what runs in it; nothing would ever take away again what a run put there."""
    begin({})
    assert happened.installed == []
    (said,) = [line for line in happened.said if "foreign" in line]
    assert said == "kind-mine is a foreign cluster, continuing without metrics-server and prometheus"


@pytest.mark.parametrize("made", [True, False])
def test_new_or_kept_cluster_gets_the_required_addons(
    begin: Callable[..., Session], happened: Happened, made: bool
) -> None:
    begin(MADE_BY, made=made)
    assert happened.installed == ["metrics-server", "prometheus"]


@pytest.mark.parametrize(("made", "keep"), [(True, "never"), (True, "on-failure"), (True, "always"), (False, "never")])
def test_logs_are_kept_after_a_failure_even_without_the_cluster(
    begin: Callable[..., Session], happened: Happened, made: bool, keep: str
) -> None:
    session = begin(MADE_BY, made=made, keep=keep)
    session.take_down(passed=False)
    assert happened.logs == [("mine", session.store.folder)]
    assert happened.taken_down == (["kind"] if made and keep == "never" else [])


def test_logs_are_not_kept_after_success(begin: Callable[..., Session], happened: Happened) -> None:
    begin(MADE_BY, made=True).take_down(passed=True)
    assert (happened.logs, happened.taken_down) == ([], ["kind"])


@pytest.mark.parametrize("alive", [True, False])
def test_cluster_that_another_run_uses_is_not_removed(
    begin: Callable[..., Session],
    happened: Happened,
    fake_cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    alive: bool,
) -> None:
    session = begin(MADE_BY, made=True)
    lease, labels = lease_name("other"), {RUN_LABEL: "other", COMPONENT_LABEL: RUN_COMPONENT}
    take(fake_cluster.api, lease, "other on elsewhere", labels, session.clock)
    sleep = session.clock.sleep

    def renewing(seconds: float) -> None:
        sleep(seconds)
        if alive:
            found = fake_cluster.api.get(LEASES, lease, SYSTEM_NAMESPACE)
            found["spec"]["renewTime"] = f"at {session.clock.monotonic()}"
            fake_cluster.api.replace(LEASES, found, SYSTEM_NAMESPACE)

    monkeypatch.setattr(session.clock, "sleep", renewing)
    session.take_down(passed=True)
    assert happened.taken_down == ([] if alive else ["kind"])
    kept = "not deleted, still used by other on elsewhere; to delete it: kind delete cluster --name resilience"
    assert any(kept in line for line in happened.said) is alive


def test_forked_process_does_not_use_its_parent_s_connection(
    begin: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would hear of a halt in it: threads do not outlive a fork."""
    session = begin({})
    inherited = session.connect()
    assert session.connect() is inherited
    monkeypatch.setattr("harness.pytest_plugin.session.os.getpid", lambda: -1)
    assert session.connect() is not inherited

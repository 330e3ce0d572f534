"""Which cluster is meant: nobody breaks production by accident, and what was made halfway is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import choosing
from harness.choosing import Wish, choose
from harness.cluster.fake import FakeCluster
from harness.errors import ApiError, ClusterBroken, ClusterRefused, ClusterUnreachable, HarnessError


class Reachable:
    """Stands in for connections: contexts in ``down`` do not answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.tried: list[str] = []

    def connect(self, kubeconfig: Path | None, context: str) -> Any:
        self.tried.append(context)
        if context in self.down:
            raise ClusterUnreachable(f"{context} does not answer")
        return FakeCluster().api


class FakeKind:
    """Stands in for kind. ``interrupts`` makes creating one end early."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.why_not = "kind is not installed"
        self.deleted: list[str] = []
        self.exported: list[Path] = []
        self.reached: list[Path] = []
        self.elsewhere: set[str] = set()
        self.interrupts: BaseException | None = None
        self.resists = False

    def create(self, name: str, workers: int, kubeconfig: Path, image: str) -> None:
        if name in self.there:
            raise choosing.kind.AlreadyThere("node(s) already exist for a cluster with the name")
        self.there.add(name)
        kubeconfig.write_text("{}")
        if self.interrupts:
            raise self.interrupts

    def delete(self, name: str, kubeconfig: Path) -> None:
        if self.resists:
            raise ClusterBroken("kind delete cluster took over 120 s")
        self.there.discard(name)
        self.deleted.append(name)

    def node_containers(self, name: str) -> set[str]:
        return set() if name in self.elsewhere else {f"{name}-control-plane"}

    def export_kubeconfig(self, name: str, kubeconfig: Path) -> None:
        kubeconfig.write_text("{}")
        self.reached.append(kubeconfig)


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Reachable:
    found = Reachable()
    monkeypatch.setattr(choosing.KubeApi, "connect", found.connect)
    return found


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeKind:
    found = FakeKind()
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path / "cache"))
    # Where the client looks when it is told of no kubeconfig.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "default"))
    monkeypatch.setattr(choosing.kind, "available", lambda: found.why_not)
    monkeypatch.setattr(choosing.kind, "exists", lambda name: name in found.there)
    monkeypatch.setattr(choosing.kind, "create", found.create)
    monkeypatch.setattr(choosing.kind, "delete", found.delete)
    monkeypatch.setattr(choosing.kind, "export_logs", lambda name, folder: found.exported.append(folder))
    monkeypatch.setattr(choosing.kind, "node_containers", found.node_containers)
    monkeypatch.setattr(choosing.kind, "export_kubeconfig", found.export_kubeconfig)
    return found


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of local clusters that were asked for."""
    asked: list[str] = []

    class Status:
        healthy = False

    def up(name: str, *_: Any) -> FakeCluster:
        asked.append(name)
        return FakeCluster(name=f"local-{name}")

    monkeypatch.setattr(choosing.commands, "status", lambda name: Status())
    monkeypatch.setattr(choosing.commands, "up", up)
    return asked


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    return Wish("auto", kubeconfig=tmp_path / "kubeconfig", state=tmp_path)


def current(wish: Wish, *contexts: str) -> None:
    """A kubeconfig with these contexts, of which the first is the current one."""
    assert wish.kubeconfig
    entries = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in contexts]
    config = {"apiVersion": "v1", "kind": "Config", "current-context": contexts[0], "contexts": entries}
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    wish.kubeconfig.write_text(yaml.safe_dump({**config, "clusters": [cluster], "users": [{"name": "u", "user": {}}]}))


def nothing(_: str) -> None:
    return None


def test_auto_takes_a_current_context_that_is_made_to_be_broken(wish: Wish, reachable: Reachable) -> None:
    current(wish, "kind-mine")
    chosen = choose(wish, nothing)
    assert (chosen.cluster.context, chosen.made) == ("kind-mine", False)


@pytest.mark.usefixtures("reachable", "fake_kind")
def test_auto_never_takes_production(wish: Wish, local: list[str], reachable: Reachable) -> None:
    current(wish, "production")
    said: list[str] = []
    assert choose(wish, said.append).made
    assert (local, reachable.tried) == (["resilience"], [])
    assert "not the current context production" in said[0]


@pytest.mark.usefixtures("fake_kind")
def test_auto_passes_over_a_context_that_does_not_answer(wish: Wish, local: list[str], reachable: Reachable) -> None:
    current(wish, "kind-dead")
    reachable.down.add("kind-dead")
    assert choose(wish, nothing).made
    assert local == ["resilience"]


@pytest.mark.usefixtures("reachable", "local")
def test_auto_prefers_kind_to_local(wish: Wish, fake_kind: FakeKind) -> None:
    fake_kind.why_not = ""
    chosen = choose(wish, nothing)
    assert (chosen.cluster.provider, chosen.made, fake_kind.there) == ("kind", True, {"resilience"})


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("selection", ["current", "production"])
def test_another_context_must_be_named_in_full_and_allowed(wish: Wish, selection: str) -> None:
    current(wish, "production")
    with pytest.raises(ClusterRefused):
        choose(replace(wish, selection=selection), nothing)
    with pytest.raises(ClusterRefused):
        choose(replace(wish, selection="current", allowed=("production",)), nothing)
    chosen = choose(replace(wish, selection="production", allowed=("production",)), nothing)
    assert (chosen.cluster.context, chosen.made) == ("production", False)


def test_a_kubeconfig_without_current_context_is_told(wish: Wish) -> None:
    with pytest.raises(ClusterUnreachable, match="no current context"):
        choose(replace(wish, selection="current"), nothing)


def test_kind_that_cannot_be_used_is_told(wish: Wish, fake_kind: FakeKind) -> None:
    with pytest.raises(ClusterUnreachable, match="kind is not installed"):
        choose(replace(wish, selection="kind"), nothing)


@pytest.mark.usefixtures("reachable")
def test_two_processes_of_a_session_share_the_kind_cluster_that_one_made(tmp_path: Path, fake_kind: FakeKind) -> None:
    """Its kubeconfig is the session's own: it is not among the contexts of the user's."""
    fake_kind.why_not = ""
    wish = Wish("kind", state=tmp_path)
    first, second = choose(wish, nothing), choose(wish, nothing)
    assert (first.made, second.made) == (True, False)
    assert first.cluster.kubeconfig == second.cluster.kubeconfig


@pytest.mark.usefixtures("reachable")
def test_a_kind_cluster_that_an_earlier_run_kept_is_reached_by_what_kind_knows(
    tmp_path: Path, fake_kind: FakeKind
) -> None:
    """Its kubeconfig lies among the reports of that run, which may be gone."""
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    wish = Wish("kind", state=tmp_path / "run")
    first, second = choose(wish, nothing), choose(wish, nothing)
    assert fake_kind.reached == [tmp_path / "run/kind-resilience.kubeconfig"]
    assert first.cluster.kubeconfig == second.cluster.kubeconfig == fake_kind.reached[0]
    assert not first.made


def test_an_existing_kind_cluster_is_reached_by_the_users_kubeconfig_when_it_is_in_there(
    wish: Wish, fake_kind: FakeKind, reachable: Reachable
) -> None:
    current(wish, "production", "kind-resilience")
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    chosen = choose(replace(wish, selection="kind"), nothing)
    assert (chosen.cluster.kubeconfig, fake_kind.reached) == (wish.kubeconfig, [])
    assert reachable.tried == ["kind-resilience"]


@pytest.mark.usefixtures("reachable")
def test_looking_ahead_leaves_no_kubeconfig_behind(tmp_path: Path, fake_kind: FakeKind) -> None:
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    choose(Wish("kind", state=tmp_path / "run", make=False), nothing)
    assert not (tmp_path / "run").exists()
    assert not fake_kind.reached[0].exists()


def test_an_existing_kind_cluster_that_the_guard_does_not_allow_is_not_even_dialled(
    wish: Wish, fake_kind: FakeKind, reachable: Reachable
) -> None:
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    with pytest.raises(ClusterRefused):
        choose(replace(wish, selection="kind", patterns=("staging-*",)), nothing)
    assert (fake_kind.reached, reachable.tried) == ([], [])


@pytest.mark.usefixtures("reachable")
def test_a_kind_cluster_is_looked_for_and_made_under_one_lock(
    wish: Wish, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session that waits for the lock finds the cluster there, and does not make it."""
    events: list[str] = []

    @contextmanager
    def locked(name: str, *_: Any) -> Iterator[None]:
        events.append(f"lock {name}")
        yield
        events.append("unlock")

    monkeypatch.setattr(choosing, "locked", locked)
    monkeypatch.setattr(choosing.kind, "exists", lambda _: events.append("look"))
    monkeypatch.setattr(choosing.kind, "create", lambda *_: events.append("create"))
    fake_kind.why_not = ""
    choose(replace(wish, selection="kind"), nothing)
    assert events == ["lock kind-resilience", "look", "create", "unlock"]
    choosing.take_down("kind", wish, nothing)
    assert events[4:] == ["lock kind-resilience", "unlock"]


def test_a_cluster_that_somebody_else_made_meanwhile_is_not_deleted(
    wish: Wish, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's session holds another lock, and kind by hand holds none."""
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    monkeypatch.setattr(choosing.kind, "exists", lambda _: False)
    with pytest.raises(ClusterBroken, match="already exist"):
        choose(replace(wish, selection="kind"), nothing)
    assert (fake_kind.deleted, fake_kind.exported) == ([], [])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterBroken("no space")])
def test_what_cannot_be_deleted_does_not_hide_why_it_should_be(
    wish: Wish, fake_kind: FakeKind, error: BaseException
) -> None:
    fake_kind.why_not, fake_kind.interrupts, fake_kind.resists = "", error, True
    said: list[str] = []
    with pytest.raises(type(error)) as caught:
        choose(replace(wish, selection="kind"), said.append)
    assert caught.value is error
    assert "`kind delete cluster --name resilience` deletes it: kind delete cluster took over 120 s" in said[-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterBroken("no space")])
def test_a_kind_cluster_made_halfway_is_taken_away(wish: Wish, fake_kind: FakeKind, error: BaseException) -> None:
    fake_kind.why_not, fake_kind.interrupts = "", error
    with pytest.raises(type(error)):
        choose(replace(wish, selection="kind"), nothing)
    assert fake_kind.deleted == ["resilience"]


@pytest.mark.parametrize(
    "error", [ClusterBroken("no space"), ClusterUnreachable("no answer"), ApiError(500, "InternalError", "no etcd")]
)
def test_the_logs_of_a_kind_cluster_are_kept_when_it_could_not_be_made(
    wish: Wish, fake_kind: FakeKind, error: HarnessError
) -> None:
    fake_kind.why_not, fake_kind.interrupts = "", error
    with pytest.raises(type(error)):
        choose(replace(wish, selection="kind"), nothing)
    assert fake_kind.exported == [wish.state / "kind-logs"]


@pytest.mark.parametrize("some", [True, False])
def test_what_could_be_kept_of_the_logs_is_told_when_a_node_does_not_answer(
    wish: Wish, monkeypatch: pytest.MonkeyPatch, some: bool
) -> None:
    def export(_name: str, folder: Path) -> None:
        if some:
            (folder / "mine-control-plane").mkdir(parents=True)
        raise ClusterBroken("kind export logs failed: mine-worker is not running")

    monkeypatch.setattr(choosing.kind, "export_logs", export)
    said: list[str] = []
    monkeypatch.setattr(choosing.kind, "node_containers", lambda _: {"mine-control-plane"})
    choosing.keep_kind_logs("mine", wish.state, said.append)
    assert said[0].startswith("not all logs of the nodes could be kept: kind export logs failed: mine-worker")
    assert (f"those of the nodes that answer are in {wish.state / 'kind-logs'}" in said[0]) is some


def test_the_logs_of_a_cluster_whose_nodes_are_elsewhere_are_not_asked_for(wish: Wish, fake_kind: FakeKind) -> None:
    fake_kind.elsewhere = {"theirs"}
    said: list[str] = []
    for name in ("theirs", "mine"):
        choosing.keep_kind_logs(name, wish.state, said.append)
    assert fake_kind.exported == [wish.state / "kind-logs"]
    assert said == [f"the logs of the nodes are in {wish.state / 'kind-logs'}"]


def test_a_local_cluster_of_which_a_node_is_broken_is_still_one_whose_nodes_can_be_mended(
    monkeypatch: pytest.MonkeyPatch, local: list[str], reachable: Reachable, tmp_path: Path
) -> None:
    """``harness sweep`` and the dead-man switch find it so: as any other cluster they could not take that back."""
    whole = FakeCluster(name="local-mine")
    monkeypatch.setattr(choosing.LocalCluster, "attach", lambda name: whole)
    assert choosing.attach(tmp_path / "kubeconfig", "local-mine") is whole
    assert reachable.tried == []


def test_a_context_that_is_only_called_like_a_local_cluster_is_any_cluster(
    reachable: Reachable, tmp_path: Path
) -> None:
    found = choosing.attach(tmp_path / "kubeconfig", "local-elsewhere")
    assert found.provider == "kubeconfig"
    assert reachable.tried == ["local-elsewhere"]

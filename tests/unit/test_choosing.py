"""Which cluster is meant: nobody breaks production by accident, and what was made halfway is taken away."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import choosing
from harness.choosing import Wish, choose
from harness.cluster.fake import FakeCluster
from harness.errors import ClusterBroken, ClusterRefused, ClusterUnreachable


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
        self.interrupts: BaseException | None = None

    def create(self, name: str, workers: int, kubeconfig: Path, image: str) -> None:
        self.there.add(name)
        kubeconfig.write_text("{}")
        if self.interrupts:
            raise self.interrupts

    def delete(self, name: str, kubeconfig: Path) -> None:
        self.there.discard(name)
        self.deleted.append(name)


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Reachable:
    found = Reachable()
    monkeypatch.setattr(choosing.KubeApi, "connect", found.connect)
    return found


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch) -> FakeKind:
    found = FakeKind()
    monkeypatch.setattr(choosing.kind, "available", lambda: found.why_not)
    monkeypatch.setattr(choosing.kind, "exists", lambda name: name in found.there)
    monkeypatch.setattr(choosing.kind, "create", found.create)
    monkeypatch.setattr(choosing.kind, "delete", found.delete)
    monkeypatch.setattr(choosing.kind, "export_logs", lambda name, folder: found.exported.append(folder))
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


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterBroken("no space")])
def test_a_kind_cluster_made_halfway_is_taken_away(wish: Wish, fake_kind: FakeKind, error: BaseException) -> None:
    fake_kind.why_not, fake_kind.interrupts = "", error
    with pytest.raises(type(error)):
        choose(replace(wish, selection="kind"), nothing)
    assert fake_kind.deleted == ["resilience"]


def test_the_logs_of_a_kind_cluster_are_kept_when_it_could_not_be_made(wish: Wish, fake_kind: FakeKind) -> None:
    fake_kind.why_not, fake_kind.interrupts = "", ClusterBroken("no space")
    with pytest.raises(ClusterBroken):
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
    choosing.keep_logs("kind", wish, said.append)
    assert said[0].startswith("not all logs of the nodes could be kept: kind export logs failed: mine-worker")
    assert (f"those of the nodes that answer are in {wish.state / 'kind-logs'}" in said[0]) is some


def test_only_a_cluster_whose_logs_would_go_with_it_has_them_kept(wish: Wish, fake_kind: FakeKind) -> None:
    for provider in ("local", "kubeconfig", "kind"):
        choosing.keep_logs(provider, wish, nothing)
    assert fake_kind.exported == [wish.state / "kind-logs"]


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

"""Which cluster is meant: nobody breaks production by accident, and what was made halfway is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.fake.cluster import FakeCluster
from harness.cluster.kube.client import KubeApi
from harness.common.errors import (
    ApiError,
    ClusterBroken,
    ClusterRefused,
    ClusterUnreachable,
    HarnessError,
    KubeconfigInvalid,
)
from harness.engine import choose_cluster
from harness.engine.choose_cluster import ClusterRequest, choose


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
            raise choose_cluster.kind.AlreadyThere("node(s) already exist for a cluster with the name")
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
    monkeypatch.setattr(choose_cluster.KubeApi, "connect", found.connect)
    return found


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeKind:
    found = FakeKind()
    monkeypatch.setenv("RESILIENCE_CACHE", str(tmp_path / "cache"))
    # Where a kubeconfig is looked for that nobody names.
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "default"))
    monkeypatch.setattr(choose_cluster.kind, "available", lambda: found.why_not)
    monkeypatch.setattr(choose_cluster.kind, "exists", lambda name: name in found.there)
    monkeypatch.setattr(choose_cluster.kind, "create", found.create)
    monkeypatch.setattr(choose_cluster.kind, "delete", found.delete)
    monkeypatch.setattr(choose_cluster.kind, "export_logs", lambda name, folder: found.exported.append(folder))
    monkeypatch.setattr(choose_cluster.kind, "node_containers", found.node_containers)
    monkeypatch.setattr(choose_cluster.kind, "export_kubeconfig", found.export_kubeconfig)
    return found


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of local clusters that were asked for."""
    asked: list[str] = []

    class NewCluster(FakeCluster):
        is_new = True

    def up(name: str, *_: Any) -> FakeCluster:
        asked.append(name)
        return NewCluster(name=f"local-{name}")

    monkeypatch.setattr(choose_cluster.commands, "up", up)
    return asked


@pytest.fixture
def target(tmp_path: Path) -> ClusterRequest:
    return ClusterRequest("auto", kubeconfig=tmp_path / "kubeconfig", state=tmp_path)


def current(target: ClusterRequest, *contexts: str) -> None:
    """A kubeconfig with these contexts, of which the first is the current one."""
    assert target.kubeconfig
    entries = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in contexts]
    config = {"apiVersion": "v1", "kind": "Config", "current-context": contexts[0], "contexts": entries}
    cluster = {"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}
    target.kubeconfig.write_text(
        yaml.safe_dump({**config, "clusters": [cluster], "users": [{"name": "u", "user": {}}]})
    )


def nothing(_: str) -> None:
    return None


def test_auto_takes_a_current_context_that_is_made_to_be_broken(target: ClusterRequest, reachable: Reachable) -> None:
    current(target, "kind-mine")
    chosen = choose(target, nothing)
    assert (chosen.cluster.context, chosen.made) == ("kind-mine", False)


@pytest.mark.usefixtures("reachable", "fake_kind")
def test_auto_never_takes_production(target: ClusterRequest, local: list[str], reachable: Reachable) -> None:
    current(target, "production")
    said: list[str] = []
    assert choose(target, said.append).made
    assert (local, reachable.tried) == (["resilience"], [])
    assert "current context production skipped" in said[0]


@pytest.mark.usefixtures("fake_kind")
def test_auto_passes_over_a_context_that_does_not_answer(
    target: ClusterRequest, local: list[str], reachable: Reachable
) -> None:
    current(target, "kind-dead")
    reachable.down.add("kind-dead")
    assert choose(target, nothing).made
    assert local == ["resilience"]


@pytest.mark.usefixtures("reachable", "local")
def test_auto_prefers_kind_to_local(target: ClusterRequest, fake_kind: FakeKind) -> None:
    fake_kind.why_not = ""
    chosen = choose(target, nothing)
    assert (chosen.cluster.provider, chosen.made, fake_kind.there) == ("kind", True, {"resilience"})


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("selection", ["current", "production"])
def test_another_context_must_be_named_in_full_and_allowed(target: ClusterRequest, selection: str) -> None:
    current(target, "production")
    with pytest.raises(ClusterRefused):
        choose(replace(target, selection=selection), nothing)
    with pytest.raises(ClusterRefused):
        choose(replace(target, selection="current", allowed=("production",)), nothing)
    chosen = choose(replace(target, selection="production", allowed=("production",)), nothing)
    assert (chosen.cluster.context, chosen.made) == ("production", False)


def test_current_needs_a_current_context(target: ClusterRequest) -> None:
    current(target, "")
    with pytest.raises(ClusterUnreachable, match=f"kubeconfig {target.kubeconfig} has no current context"):
        choose(replace(target, selection="current"), nothing)


def test_current_needs_the_named_kubeconfig(target: ClusterRequest) -> None:
    with pytest.raises(KubeconfigInvalid, match=f"{target.kubeconfig}: there is no such file"):
        choose(replace(target, selection="current"), nothing)


@pytest.mark.usefixtures("fake_kind", "local", "reachable")
@pytest.mark.parametrize("selection", ["auto", "current"])
def test_broken_kubeconfig_is_never_skipped(target: ClusterRequest, selection: str, local: list[str]) -> None:
    """kubectl would not work either; another cluster than the one that is meant must not be broken in its place."""
    assert target.kubeconfig
    target.kubeconfig.write_text("current-context: [kind-mine\n")
    with pytest.raises(KubeconfigInvalid, match=rf"{target.kubeconfig}:2: not valid YAML"):
        choose(replace(target, selection=selection), nothing)
    assert local == []


def test_unusable_kind_is_reported(target: ClusterRequest, fake_kind: FakeKind) -> None:
    with pytest.raises(ClusterUnreachable, match="kind is not installed"):
        choose(replace(target, selection="kind"), nothing)


@pytest.mark.usefixtures("reachable")
def test_processes_of_a_session_share_one_kind_cluster(tmp_path: Path, fake_kind: FakeKind) -> None:
    """Its kubeconfig is the session's own: it is not among the contexts of the user's."""
    fake_kind.why_not = ""
    target = ClusterRequest("kind", state=tmp_path)
    first, second = choose(target, nothing), choose(target, nothing)
    assert (first.made, second.made) == (True, False)
    assert first.cluster.kubeconfig == second.cluster.kubeconfig


@pytest.mark.usefixtures("reachable")
def test_kept_kind_cluster_is_reached_by_its_kind_kubeconfig(tmp_path: Path, fake_kind: FakeKind) -> None:
    """Its kubeconfig lies among the reports of that run, which may be gone."""
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    target = ClusterRequest("kind", state=tmp_path / "run")
    first, second = choose(target, nothing), choose(target, nothing)
    assert fake_kind.reached == [tmp_path / "run/kind-resilience.kubeconfig"]
    assert first.cluster.kubeconfig == second.cluster.kubeconfig == fake_kind.reached[0]
    assert not first.made


def test_existing_kind_cluster_uses_the_user_kubeconfig_if_there(
    target: ClusterRequest, fake_kind: FakeKind, reachable: Reachable
) -> None:
    current(target, "production", "kind-resilience")
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    chosen = choose(replace(target, selection="kind"), nothing)
    assert (chosen.cluster.kubeconfig, fake_kind.reached) == (target.kubeconfig, [])
    assert reachable.tried == ["kind-resilience"]


@pytest.mark.usefixtures("reachable")
def test_dry_run_leaves_no_kubeconfig_behind(tmp_path: Path, fake_kind: FakeKind) -> None:
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    choose(ClusterRequest("kind", state=tmp_path / "run", make=False), nothing)
    assert not (tmp_path / "run").exists()
    assert not fake_kind.reached[0].exists()


def test_kind_cluster_forbidden_by_the_guard_is_not_dialled(
    target: ClusterRequest, fake_kind: FakeKind, reachable: Reachable
) -> None:
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    with pytest.raises(ClusterRefused):
        choose(replace(target, selection="kind", patterns=("staging-*",)), nothing)
    assert (fake_kind.reached, reachable.tried) == ([], [])


@pytest.mark.usefixtures("reachable")
def test_kind_cluster_is_found_or_created_under_one_lock(
    target: ClusterRequest, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another session that waits for the lock finds the cluster there, and does not make it."""
    events: list[str] = []

    @contextmanager
    def locked(name: str, *_: Any) -> Iterator[None]:
        events.append(f"lock {name}")
        yield
        events.append("unlock")

    monkeypatch.setattr(choose_cluster, "locked", locked)
    monkeypatch.setattr(choose_cluster.kind, "exists", lambda _: events.append("look"))
    monkeypatch.setattr(choose_cluster.kind, "create", lambda *_: events.append("create"))
    fake_kind.why_not = ""
    choose(replace(target, selection="kind"), nothing)
    assert events == ["lock kind-resilience", "look", "create", "unlock"]
    choose_cluster.take_down("kind", target, nothing)
    assert events[4:] == ["lock kind-resilience", "unlock"]


def test_cluster_created_meanwhile_by_another_user_is_kept(
    target: ClusterRequest, fake_kind: FakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's session holds another lock, and kind by hand holds none."""
    fake_kind.why_not, fake_kind.there = "", {"resilience"}
    monkeypatch.setattr(choose_cluster.kind, "exists", lambda _: False)
    with pytest.raises(ClusterBroken, match="already exist"):
        choose(replace(target, selection="kind"), nothing)
    assert (fake_kind.deleted, fake_kind.exported) == ([], [])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterBroken("no space")])
def test_failed_deletion_does_not_hide_its_cause(
    target: ClusterRequest, fake_kind: FakeKind, error: BaseException
) -> None:
    fake_kind.why_not, fake_kind.interrupts, fake_kind.resists = "", error, True
    said: list[str] = []
    with pytest.raises(type(error)) as caught:
        choose(replace(target, selection="kind"), said.append)
    assert caught.value is error
    assert "run `kind delete cluster --name resilience`: kind delete cluster took over 120 s" in said[-1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ClusterBroken("no space")])
def test_a_kind_cluster_made_halfway_is_taken_away(
    target: ClusterRequest, fake_kind: FakeKind, error: BaseException
) -> None:
    fake_kind.why_not, fake_kind.interrupts = "", error
    with pytest.raises(type(error)):
        choose(replace(target, selection="kind"), nothing)
    assert fake_kind.deleted == ["resilience"]


@pytest.mark.parametrize(
    "error", [ClusterBroken("no space"), ClusterUnreachable("no answer"), ApiError(500, "InternalError", "no etcd")]
)
def test_logs_are_kept_if_the_kind_cluster_cannot_be_made(
    target: ClusterRequest, fake_kind: FakeKind, error: HarnessError
) -> None:
    fake_kind.why_not, fake_kind.interrupts = "", error
    with pytest.raises(type(error)):
        choose(replace(target, selection="kind"), nothing)
    assert fake_kind.exported == [target.state / "kind-logs"]


@pytest.mark.parametrize("some", [True, False])
def test_partial_logs_are_reported_when_a_node_is_silent(
    target: ClusterRequest, monkeypatch: pytest.MonkeyPatch, some: bool
) -> None:
    def export(_name: str, folder: Path) -> None:
        if some:
            (folder / "mine-control-plane").mkdir(parents=True)
        raise ClusterBroken("kind export logs failed: mine-worker is not running")

    monkeypatch.setattr(choose_cluster.kind, "export_logs", export)
    said: list[str] = []
    monkeypatch.setattr(choose_cluster.kind, "node_containers", lambda _: {"mine-control-plane"})
    choose_cluster.keep_kind_logs("mine", target.state, said.append)
    assert said[0].startswith("could not export the logs of all nodes: kind export logs failed: mine-worker")
    assert (f"the logs of the running nodes are in {target.state / 'kind-logs'}" in said[0]) is some


def test_logs_of_remote_nodes_are_not_requested(target: ClusterRequest, fake_kind: FakeKind) -> None:
    fake_kind.elsewhere = {"theirs"}
    said: list[str] = []
    for name in ("theirs", "mine"):
        choose_cluster.keep_kind_logs(name, target.state, said.append)
    assert fake_kind.exported == [target.state / "kind-logs"]
    assert said == [f"the logs of the nodes are in {target.state / 'kind-logs'}"]


def test_local_cluster_with_a_broken_node_keeps_node_control(
    monkeypatch: pytest.MonkeyPatch, local: list[str], reachable: Reachable, tmp_path: Path
) -> None:
    """``harness sweep`` and the dead-man switch find it so: as any other cluster they could not take that back."""
    whole = FakeCluster(name="local-mine")
    monkeypatch.setattr(choose_cluster.LocalCluster, "attach", lambda name: whole)
    assert choose_cluster.attach(tmp_path / "kubeconfig", "local-mine") is whole
    assert reachable.tried == []


def test_context_only_named_like_a_local_cluster_is_ordinary(reachable: Reachable, tmp_path: Path) -> None:
    found = choose_cluster.attach(tmp_path / "kubeconfig", "local-elsewhere")
    assert found.provider == "kubeconfig"
    assert reachable.tried == ["local-elsewhere"]


def test_cluster_of_this_pod_is_dialled_from_inside(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KubeApi, "in_cluster", lambda: fake_cluster.api)
    assert choose_cluster.in_cluster().inside

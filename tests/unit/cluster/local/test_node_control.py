"""Nodes of a local cluster without one: what is refused, and in what order a node is shut down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.local import cgroups, freezer, node_machine
from harness.cluster.local.locks import locked
from harness.cluster.local.node_control import LocalNodes
from harness.cluster.local.node_machine import NodeMachine
from harness.cluster.local.paths import CACHE_VARIABLE, STATE_VARIABLE, ClusterPaths
from harness.cluster.local.processes import Programs
from harness.cluster.local.state import ClusterState
from harness.cluster.nodes.control import NodeControl, NodeTraces
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken

STATE = ClusterState("shop", 2, 0, "/binaries", "/images", ready=True)
WORKER = "shop-worker-1"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))


@pytest.fixture
def nodes() -> NodeControl:
    STATE.save(ClusterPaths.of("shop"))
    return LocalNodes("shop", FakeClock())


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A node on which everything runs until it is told to end; what it is told, in order."""
    said: list[Any] = []
    running = {"holder", "containerd", "kubelet", "kube-proxy"}

    def end(name: str) -> None:
        said.append(name)
        running.discard(name)

    def end_all(*_: object) -> None:
        said.append("everything")
        running.clear()

    monkeypatch.setattr(Programs, "pid", lambda _self, _node, name: 17 if name in running else None)
    monkeypatch.setattr(NodeMachine, "end_program", lambda _self, name: end(name))
    monkeypatch.setattr(NodeMachine, "_end_pods", lambda _self: said.append("pods"))
    monkeypatch.setattr(cgroups, "end_processes", end_all)
    monkeypatch.setattr(freezer, "is_frozen", lambda _path: False)
    return said


def test_node_object_without_a_machine_has_no_traces(nodes: NodeControl) -> None:
    assert nodes.traces("kwok-node-17") == NodeTraces("stopped")


def test_node_shuts_down_kubelet_then_pods_then_the_rest(nodes: NodeControl, told: list[Any]) -> None:
    """A kubelet that outlived its pods would start them again."""
    nodes.stop(WORKER)
    assert told == ["kubelet", "pods", "containerd", "everything"]
    assert nodes.power(WORKER) == "stopped"


def test_killed_node_is_not_queried(nodes: NodeControl, told: list[Any]) -> None:
    nodes.kill(WORKER)
    assert told == ["everything"]


def test_frozen_node_is_not_queried(nodes: NodeControl, told: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = [True]
    monkeypatch.setattr(freezer, "is_frozen", lambda _path: frozen[0])
    monkeypatch.setattr(freezer, "thaw", lambda _path: frozen.clear() or frozen.append(False))
    assert nodes.power(WORKER) == "paused"
    nodes.stop(WORKER)
    assert told == ["everything"]


def test_a_node_that_is_off_is_neither_frozen_nor_cut_off(nodes: NodeControl, told: list[Any]) -> None:
    nodes.kill(WORKER)
    assert not nodes.is_cut_off(WORKER)
    nodes.reconnect(WORKER)
    with pytest.raises(ClusterBroken, match="shop-worker-1 is switched off"):
        nodes.pause(WORKER)
    with pytest.raises(ClusterBroken, match="shop-worker-1 is switched off"):
        nodes.cut_off(WORKER)


@pytest.mark.parametrize("action", ["stop", "kill", "start", "restart", "pause", "resume"])
def test_the_power_of_the_control_planes_node_is_nobodys_to_take(
    nodes: NodeControl, told: list[Any], action: str
) -> None:
    with pytest.raises(ClusterBroken, match="the whole cluster"):
        getattr(nodes, action)("shop-control-plane")
    assert told == []


def test_missing_node_is_reported_with_the_existing_ones(nodes: NodeControl) -> None:
    with pytest.raises(ClusterBroken, match=r"no node elsewhere, only shop-control-plane, shop-worker-1"):
        nodes.power("elsewhere")


def test_nodes_of_a_removed_cluster_are_gone(nodes: NodeControl) -> None:
    ClusterPaths.of("shop").state.unlink()
    with pytest.raises(ClusterBroken, match="the cluster shop is gone"):
        nodes.start(WORKER)


def test_node_is_untouched_while_its_cluster_changes(
    nodes: NodeControl, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that came back during ``down`` would leave something behind."""
    monkeypatch.setattr("harness.cluster.local.node_control.LOCK_SECONDS", 0.01)
    with (
        locked("cluster-shop", lambda _message: None, "the test"),
        pytest.raises(ClusterBroken, match="another process is busy with the cluster shop"),
    ):
        nodes.kill(WORKER)
    assert told == []


def test_a_program_that_does_not_end_is_killed(nodes: NodeControl, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(Programs, "pid", lambda *_: None if "SIGKILL" in sent else 17)
    monkeypatch.setattr(node_machine, "_send", lambda sign, _pids: sent.append(sign.name))
    nodes.stop_service(WORKER, "kubelet")
    assert sent == ["SIGTERM", "SIGKILL"]


def test_program_failing_at_once_counts_as_not_started(
    nodes: NodeControl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody would start it again: a node whose kubelet gave up for want of an inotify instance is not back."""
    monkeypatch.setattr(NodeMachine, "runs", lambda _self, _name: True)
    exit_file = ClusterPaths.of("shop").programs / "worker-1" / "kubelet.exit"
    exit_file.parent.mkdir(parents=True)
    nodes.start_service(WORKER, "kubelet")
    exit_file.write_text("1")
    with pytest.raises(ClusterBroken, match="kubelet on worker-1 ended with exit code 1"):
        nodes.start_service(WORKER, "kubelet")

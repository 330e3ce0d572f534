"""Up and down without a cluster: what is refused before anything is touched, and what a status says."""

import os
from pathlib import Path

import pytest

from harness.clock import FakeClock
from harness.cluster.local import commands, lifecycle
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.lifecycle import ClusterStatus, NodeStatus, ProgramStatus
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import CACHE_VARIABLE, STATE_VARIABLE, ClusterPaths
from harness.cluster.local.state import ClusterState
from harness.cluster.local.teardown import mounts_below
from harness.errors import ClusterBroken, ClusterUnreachable, InputError

RUNNING = ProgramStatus("worker-1", "kubelet", 17, None)
ENDED = ProgramStatus("worker-1", "kubelet", None, 137)
STATE = ClusterState("shop", 2, 0, "/binaries", "/images", ready=True)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))


@pytest.mark.parametrize("workers", [0, -1, 21])
def test_an_impossible_number_of_nodes_is_refused_before_anything_is_touched(workers: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"number of nodes: found {workers}, expected 1 to 20"):
        lifecycle.bring_up("shop", workers, lambda _message: None, FakeClock())
    assert not (tmp_path / "state").exists()


def test_up_and_down_without_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterBroken, match="needs root"):
        commands.up("shop", progress=lambda _message: None)
    with pytest.raises(ClusterBroken, match="needs root"):
        commands.down("shop", progress=lambda _message: None)


def test_a_cluster_that_is_not_there_cannot_be_attached_to() -> None:
    with pytest.raises(ClusterUnreachable, match=r"no local cluster 'shop'.*cluster up --name shop"):
        LocalCluster.attach("shop")
    with pytest.raises(ClusterUnreachable, match="no local cluster 'shop'"):
        commands.kubeconfig("shop")


def test_a_cluster_that_was_never_finished_cannot_be_attached_to() -> None:
    ClusterState("shop", 2, 0, "/binaries", "/images").save(ClusterPaths.of("shop"))
    with pytest.raises(ClusterUnreachable, match="is not up"):
        LocalCluster.attach("shop")


def test_the_status_of_a_cluster_that_is_not_there_says_so() -> None:
    status = commands.status("shop")
    assert (status.summary, status.healthy, status.programs) == ("not there", False, ())


def test_a_state_without_programs_is_a_broken_cluster() -> None:
    STATE.save(ClusterPaths.of("shop"))
    status = commands.status("shop")
    assert status.summary == "broken"
    assert {program.name for program in status.programs} >= {"etcd", "kubelet", "haproxy", "holder"}


@pytest.mark.parametrize(
    ("programs", "answers", "summary"),
    [((RUNNING,), True, "up"), ((RUNNING, ENDED), True, "broken"), ((RUNNING,), False, "broken")],
)
def test_up_means_that_every_program_runs_and_the_api_answers(
    programs: tuple[ProgramStatus, ...], answers: bool, summary: str
) -> None:
    assert ClusterStatus("shop", STATE, programs, answers).summary == summary


def test_a_program_that_ended_shows_its_exit_code() -> None:
    assert "ended with exit code 137" in str(ENDED)
    assert "running, pid 17" in str(RUNNING)


def test_a_lock_that_another_holds_is_waited_for_with_a_word_and_not_forever() -> None:
    said: list[str] = []
    with locked("slots", said.append, "waiting"):
        assert said == []
        with (
            pytest.raises(ClusterBroken, match="waiting; it still held"),
            locked("slots", said.append, "waiting", 0.01),
        ):
            pytest.fail("two have the same lock")
    assert said == ["waiting"]


def test_mounts_inside_a_folder_are_found_deepest_first() -> None:
    mountinfo = (
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /state/shop rw - tmpfs t rw\n"
        "3 2 0:6 / /state/shop/a\\040b rw - tmpfs t rw\n"
        "4 1 0:7 / /state/shopping rw - tmpfs t rw\n"
    )
    assert mounts_below(Path("/state/shop"), mountinfo) == [Path("/state/shop/a b"), Path("/state/shop")]


def test_a_cluster_with_a_node_that_is_hurt_is_not_up() -> None:
    node = STATE.plan.workers[0]
    for power, cut_off, summary in (("running", False, "up"), ("running", True, "broken"), ("paused", False, "broken")):
        status = ClusterStatus("shop", STATE, (RUNNING,), answers=True, nodes=(NodeStatus(node, power, cut_off),))
        assert status.summary == summary
    assert str(NodeStatus(node, "running", cut_off=True)).split(maxsplit=2) == ["worker-1", "node", "running, cut off"]

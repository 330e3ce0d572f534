"""Up and down without a cluster: what is refused before anything is touched, and what a status says."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli.main import main
from harness.cluster.local import commands, lifecycle, teardown
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.lifecycle import ClusterStatus, NodeStatus, ProgramStatus
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import CACHE_VARIABLE, STATE_VARIABLE, ClusterPaths
from harness.cluster.local.state import ClusterState
from harness.cluster.local.teardown import mounts_below
from harness.common.clock import FakeClock
from harness.common.errors import ClusterBroken, ClusterUnreachable, InputError

RUNNING = ProgramStatus("worker-1", "kubelet", 17, None)
ENDED = ProgramStatus("worker-1", "kubelet", None, 137)
STATE = ClusterState("shop", 2, 0, "/binaries", "/images", ready=True)


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))


@pytest.mark.parametrize("workers", [0, -1, 21])
def test_impossible_node_count_is_refused_before_any_change(workers: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"number of nodes: found {workers}, expected 1 to 20"):
        lifecycle.bring_up("shop", workers, lambda _message: None, FakeClock())
    assert not (tmp_path / "state").exists()


def test_up_and_down_without_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterBroken, match="needs root"):
        commands.up("shop", progress=lambda _message: None)
    with pytest.raises(ClusterBroken, match="needs root"):
        commands.down("shop", progress=lambda _message: None)


def test_missing_cluster_cannot_be_attached() -> None:
    with pytest.raises(ClusterUnreachable, match=r"no local cluster 'shop'.*cluster up --name shop"):
        LocalCluster.attach("shop")
    with pytest.raises(ClusterUnreachable, match="no local cluster 'shop'"):
        commands.kubeconfig("shop")


def test_a_cluster_that_was_never_finished_cannot_be_attached_to() -> None:
    ClusterState("shop", 2, 0, "/binaries", "/images").save(ClusterPaths.of("shop"))
    with pytest.raises(ClusterUnreachable, match="is not up"):
        LocalCluster.attach("shop")


def test_status_of_a_missing_cluster_is_reported() -> None:
    status = commands.status("shop")
    assert (status.summary, status.healthy, status.programs) == ("not found", False, ())


def test_a_state_without_programs_is_a_broken_cluster() -> None:
    STATE.save(ClusterPaths.of("shop"))
    status = commands.status("shop")
    assert status.summary == "broken"
    assert "connection" in status.error.lower() or "kubeconfig" in status.error
    assert {program.name for program in status.programs} >= {"etcd", "kubelet", "haproxy", "holder"}


@pytest.mark.parametrize(
    ("programs", "error", "summary"),
    [
        ((RUNNING,), "", "up"),
        ((RUNNING, ENDED), "", "broken"),
        ((RUNNING, ENDED), "refused", "broken"),
        ((RUNNING,), "refused", "running, but its API server is not ready: refused"),
    ],
)
def test_up_means_that_every_program_runs_and_the_api_answers(
    programs: tuple[ProgramStatus, ...], error: str, summary: str
) -> None:
    assert ClusterStatus("shop", STATE, programs, error).summary == summary


def test_a_program_that_ended_shows_its_exit_code() -> None:
    assert "ended with exit code 137" in str(ENDED)
    assert "running, pid 17" in str(RUNNING)


def test_held_lock_is_waited_for_with_a_message_and_a_limit() -> None:
    said: list[str] = []
    with locked("slots", said.append, "waiting"):
        assert said == []
        with (
            pytest.raises(ClusterBroken, match="waiting; it still holds"),
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


def test_cluster_with_a_broken_node_is_not_up() -> None:
    node = STATE.plan.workers[0]
    for power, cut_off, summary in (("running", False, "up"), ("running", True, "broken"), ("paused", False, "broken")):
        status = ClusterStatus("shop", STATE, (RUNNING,), nodes=(NodeStatus(node, power, cut_off),))
        assert status.summary == summary
    assert str(NodeStatus(node, "running", cut_off=True)).split(maxsplit=2) == ["worker-1", "node", "running, cut off"]


SILENT = ClusterStatus("shop", STATE, (RUNNING,), "ConnectionFailed: refused")
UP = ClusterStatus("shop", STATE, (RUNNING,))
DEAD = ClusterStatus("shop", STATE, (ProgramStatus("switch", "holder", None, 137),), "refused")


class Remains:
    """Stands in for a machine: each look at the cluster finds the next status, the last one for ever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *found: ClusterStatus) -> None:
        self.found, self.removed, self.said = list(found), list[str](), list[str]()
        monkeypatch.setattr(lifecycle.packages, "check_platform", lambda: None)
        monkeypatch.setattr(lifecycle, "status_of", self._look)
        monkeypatch.setattr(lifecycle.teardown, "exists", lambda _: True)
        monkeypatch.setattr(lifecycle.teardown, "remove", lambda name, _: self.removed.append(name))
        for step in (lifecycle.packages, lifecycle.binaries, lifecycle.images, lifecycle.unpacked):
            monkeypatch.setattr(step, "ensure", lambda *_: SimpleNamespace(folder="/binaries"))
        monkeypatch.setattr(lifecycle.nodes, "snapshotter", lambda _: "")
        monkeypatch.setattr(lifecycle.limits, "check_inotify", lambda _: None)
        monkeypatch.setattr(lifecycle, "_boot", lambda *_: None)

    def _look(self, _name: str) -> ClusterStatus:
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    def bring_up(self) -> bool:
        return lifecycle.bring_up("shop", 2, self.said.append, FakeClock())


class TestRemoval:
    @pytest.fixture(autouse=True)
    def no_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(teardown, "end_processes", lambda *_: None)
        (ClusterPaths.of("shop").root / "nodes").mkdir(parents=True)

    def test_slow_disk_is_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = FakeClock()

        def slow(root: Path, **_: bool) -> None:
            clock.sleep(10 * teardown.END_SECONDS)
            (root / "nodes").rmdir()
            root.rmdir()

        monkeypatch.setattr(teardown.shutil, "rmtree", slow)
        teardown.remove("shop", clock)
        assert not ClusterPaths.of("shop").root.exists()

    def test_files_that_stay_are_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(teardown.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(ClusterBroken, match="shop cannot be removed"):
            teardown.remove("shop", FakeClock())


class TestClusterThatDoesNotAnswer:
    def test_is_not_removed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        remains = Remains(monkeypatch, SILENT)
        with pytest.raises(ClusterUnreachable, match=r"not ready: .*refused .*nothing was removed.*down"):
            remains.bring_up()
        assert remains.removed == []

    def test_is_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        remains = Remains(monkeypatch, SILENT, SILENT, SILENT, UP)
        assert not remains.bring_up()
        assert remains.removed == []

    def test_dead_cluster_is_removed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        remains = Remains(monkeypatch, DEAD)
        assert remains.bring_up()
        assert remains.removed == ["shop"]
        assert "is broken (switch holder ended with exit code 137): removing it" in remains.said[-1]

    def test_cluster_dying_meanwhile_is_removed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        remains = Remains(monkeypatch, SILENT, SILENT, DEAD)
        assert remains.bring_up()
        assert remains.removed == ["shop"]

    def test_status_shows_the_error(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.setattr(commands, "status", lambda _: SILENT)
        assert main(["cluster", "status", "--name", "shop"]) == 1
        shown = capsys.readouterr().out.splitlines()
        assert shown[0] == "shop: running, but its API server is not ready: ConnectionFailed: refused"
        assert "running, pid 17" in shown[1]


def test_damaged_image_store_does_not_stop_a_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "cache/image-store").mkdir(parents=True)
    (tmp_path / "cache/image-store/index.json").write_text("{")
    paths, progress = ClusterPaths(tmp_path), list[str]()
    lifecycle._load_near_store(ClusterState("mine", 1, 0, "", ""), paths, progress.append)
    (message,) = progress
    assert message.startswith("not all images of the image store were loaded: ")
    assert "is damaged" in message

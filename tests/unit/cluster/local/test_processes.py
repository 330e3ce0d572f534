"""The shell that stands over every program: the group first, then the program, then its exit code."""

import subprocess
from pathlib import Path

import pytest

from harness.cluster.local import cgroups
from harness.cluster.local.processes import SUPERVISE, Programs, log_tail, run
from harness.common.errors import ClusterBroken


def supervise(folder: Path, *command: str) -> int:
    """Run the shell to its end. A folder stands for the control group."""
    (folder / "group").mkdir(exist_ok=True)
    (folder / "programs/node").mkdir(parents=True, exist_ok=True)
    (folder / "logs/node").mkdir(parents=True, exist_ok=True)
    arguments = [str(folder / "logs/node/tool.log"), str(folder / "programs/node/tool"), "1", str(folder / "group")]
    return subprocess.run(["sh", "-c", SUPERVISE, "sh", *arguments, *command], check=False).returncode


def programs(folder: Path) -> Programs:
    return Programs(folder / "programs", folder / "logs", "resilience/shop")


def test_exit_code_and_output_are_kept(tmp_path: Path) -> None:
    supervise(tmp_path, "sh", "-c", "echo out; echo error >&2; exit 7")
    assert programs(tmp_path).exit_code("node", "tool") == 7
    assert (tmp_path / "logs/node/tool.log").read_text() == "out\nerror\n"


def test_a_program_killed_by_a_signal_shows_it_in_its_exit_code(tmp_path: Path) -> None:
    supervise(tmp_path, "sh", "-c", "kill -KILL $$")
    assert programs(tmp_path).exit_code("node", "tool") == 128 + 9


def test_the_group_is_joined_before_the_program_starts(tmp_path: Path) -> None:
    supervise(tmp_path, "sh", "-c", f"test -s {tmp_path}/group/cgroup.procs")
    assert programs(tmp_path).exit_code("node", "tool") == 0


def test_without_its_group_a_program_is_never_started(tmp_path: Path) -> None:
    """A cluster that is being removed loses its groups first: nothing may slip in after that."""
    supervise(tmp_path, "true")
    (tmp_path / "group/cgroup.procs").unlink()
    (tmp_path / "group").rmdir()
    (tmp_path / "group").write_text("")
    (tmp_path / "programs/node/tool.exit").unlink()
    arguments = [str(tmp_path / "log"), str(tmp_path / "programs/node/tool"), "1", str(tmp_path / "group")]
    done = subprocess.run(
        ["sh", "-c", SUPERVISE, "sh", *arguments, "touch", str(tmp_path / "ran")], check=False, capture_output=True
    )
    assert done.returncode != 0
    assert not (tmp_path / "ran").exists()


def test_an_ended_program_is_reported_with_code_log_and_place(tmp_path: Path) -> None:
    supervise(tmp_path, "sh", "-c", "echo unknown flag: --x; exit 1")
    with pytest.raises(ClusterBroken, match=r"(?s)tool on node ended with exit code 1.*tool\.log.*unknown flag: --x"):
        programs(tmp_path).check("node", "tool")


def test_stale_process_id_outside_the_cluster_does_not_count(tmp_path: Path) -> None:
    """Process ids are used again: only membership of the cluster's group proves that it is the one meant."""
    (tmp_path / "programs/node").mkdir(parents=True)
    (tmp_path / "programs/node/tool.pid").write_text("1")
    assert programs(tmp_path).pid("node", "tool") is None
    assert programs(tmp_path).known() == [("node", "tool")]


def test_stale_process_id_in_another_node_group_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that lost its power wrote no exit codes, and its ids are soon used again by its neighbours."""
    (tmp_path / "programs/node").mkdir(parents=True)
    (tmp_path / "programs/node/tool.pid").write_text("1")
    monkeypatch.setattr(cgroups, "contains", lambda path, pid: path in {"resilience/shop", "resilience/shop/other"})
    assert programs(tmp_path).pid("node", "tool") is None


def test_stored_process_id_in_its_node_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "programs/node").mkdir(parents=True)
    (tmp_path / "programs/node/tool.pid").write_text("1")
    monkeypatch.setattr(cgroups, "contains", lambda path, pid: (path, pid) == ("resilience/shop/node", 1))
    assert programs(tmp_path).pid("node", "tool") == 1


def test_only_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert log_tail(log, 2) == "  line 98\n  line 99"
    assert log_tail(tmp_path / "none") == "  (no log)"


def test_failing_command_is_reported_with_its_output() -> None:
    with pytest.raises(ClusterBroken, match="network of a: sh ended with exit code 2: RTNETLINK"):
        run(["sh", "-c", "echo RTNETLINK >&2; exit 2"], "network of a")

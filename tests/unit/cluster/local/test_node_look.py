"""What is seen of a local node from outside: on folders that stand for its control group and its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.cluster.local import cgroups, node_look
from harness.cluster.local.namespaces import Namespaces
from harness.cluster.nodes.control import Trace

GROUP = "resilience/shop/worker-1"
UID = "0f8e3c52-90aa-4d0b-a2c7-6d1f6a1b2c3d"
ME = os.getpid()


class Machine:
    """A control group, a /proc with one process of it, and the node's files."""

    def __init__(self, root: Path) -> None:
        self.group, self.root, self.logs = root / "cgroup" / GROUP, root / "root", root / "logs"
        self.proc: dict[str, str] = {"comm": "podinfo", "stat": "7 (pod) T info) S 1 7", "cgroup": "", "cmdline": ""}
        self.inside, self.entered = {7}, set[int]()
        self.group.mkdir(parents=True)
        (self.logs / f"web_server-1_{UID}").mkdir(parents=True)
        for folder in ("run", "tmp", "var/tmp"):
            (self.root / folder).mkdir(parents=True)

    def look(self) -> set[Trace]:
        return node_look.look(GROUP, Namespaces(ME), self.logs)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(cgroups, "folders", lambda path: [tmp_path / "cgroup" / path])
    monkeypatch.setattr(cgroups, "processes", lambda _path: made.inside)
    monkeypatch.setattr(node_look, "members", lambda _namespaces, _kind: made.inside | made.entered)
    monkeypatch.setattr(node_look, "_text", lambda _pid, file: made.proc[file])
    monkeypatch.setattr(Namespaces, "file", lambda _self, path: made.root / path[1:])
    made.proc["cgroup"] = f"4:memory:/{GROUP}/kubepods/pod{UID}/3f2a"
    return made


def test_clean_node_shows_only_its_limits(machine: Machine) -> None:
    (machine.group / "cpu.max").write_text("max 100000\n")
    assert machine.look() == {Trace("control group: cpu.max max 100000")}


@pytest.mark.parametrize(("file", "text"), [("freezer.state", "FROZEN\n"), ("cgroup.freeze", "1\n")])
def test_frozen_child_group_is_detected(machine: Machine, file: str, text: str) -> None:
    (machine.group / file).write_text({"freezer.state": "THAWED\n"}.get(file, "0\n"))
    (machine.group / "kubepods").mkdir()
    (machine.group / "kubepods" / file).write_text(text)
    assert machine.look() == {Trace("control group kubepods, frozen,", "new")}


def test_stopped_process_is_found_with_its_pod(machine: Machine) -> None:
    machine.proc["stat"] = "7 (pod) S info) T 1 7"
    assert machine.look() == {Trace("process 7 (podinfo) of pod web/server-1, stopped,", "new", "web")}


def test_undo_timer_in_a_pod_belongs_to_the_harness(machine: Machine) -> None:
    machine.proc["cmdline"] = "sh\0-c\0: resilience-deadman\n"
    found = Trace("process 7 (podinfo) of pod web/server-1, started by the harness,", "new", "web")
    assert machine.look() == {found}


@pytest.mark.parametrize(
    ("comm", "group", "ours"),
    [("iptables", "4:memory:/user", True), ("iptables", f"4:memory:/{GROUP}/system", False), ("tcpdump", "/", False)],
)
def test_foreign_process_in_the_node_network_is_a_leftover(machine: Machine, comm: str, group: str, ours: bool) -> None:
    """kube-proxy runs iptables all the time, and people look at networks."""
    machine.inside, machine.entered = set(), {9}
    machine.proc |= {"comm": comm, "cgroup": group}
    assert machine.look() == ({Trace("process 9 (iptables), started by the harness,", "new")} if ours else set())


def test_harness_file_in_a_world_writable_folder_is_found(machine: Machine) -> None:
    (machine.root / "tmp" / "resilience-x").touch()
    (machine.root / "tmp" / "other").touch()
    assert machine.look() == {Trace("file /tmp/resilience-x", "new")}

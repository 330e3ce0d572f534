"""kind and Docker as commands on PATH that do as they are told: what the harness asks, and what it makes of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from harness.cluster.kind import commands as kind
from harness.cluster.kube.client import KubeApi
from harness.common.clock import FakeClock, SystemClock
from harness.common.errors import ApiError, ClusterBroken, TimedOut
from harness.common.waiting import wait_until

SCRIPT = """#!/bin/sh
echo "${{0##*/}} $*" >> "$LOG"
[ "$1" = create ] && cat > "$LOG.config"
{body}
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH on which what ``tell`` writes stands before the system's own, and where its calls are written down."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    monkeypatch.setenv(kind.RUNTIME_VARIABLE, "docker")
    return tmp_path / "log"


@pytest.fixture
def nodes_waited_for(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes a creation waited for; the API itself is not asked."""
    waited: list[int] = []
    monkeypatch.setattr(kind.KubeApi, "connect", lambda *_: None)
    monkeypatch.setattr(kind, "wait_for_nodes", lambda _api, number, _clock: waited.append(number))
    return waited


def tell(log: Path, name: str, body: str = "exit 0") -> None:
    script = log.parent / name
    script.write_text(SCRIPT.format(body=body))
    script.chmod(0o755)


def test_kind_is_available_only_with_a_docker_that_answers(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{log.parent}")
    assert kind.available() == "kind is not installed"
    monkeypatch.setenv("PATH", f"{log.parent}:/usr/bin:/bin")
    tell(log, "kind")
    tell(log, "docker", "echo no daemon >&2; exit 1")
    assert kind.available().startswith("docker or its daemon does not answer")
    assert "no daemon" in kind.available()
    tell(log, "docker")
    assert kind.available() == ""


def test_a_kind_that_does_not_work_is_not_put_down_to_docker(log: Path) -> None:
    tell(log, "kind", "echo cannot execute: required file not found >&2; exit 127")
    tell(log, "docker")
    assert kind.available() == "kind does not work: kind version failed: cannot execute: required file not found"


def test_a_docker_that_hangs_is_no_docker(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "DAEMON_SECONDS", 0.2)
    tell(log, "kind")
    tell(log, "docker", "exec sleep 60")
    assert "took over 0.2 s" in kind.available()


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ("kind v0.11.1 go1.16.4 linux/amd64", True),
        ("kind v0.20.0 go1.20.4 linux/amd64", False),
        ("kind v0.33.0-alpha+abc go1.26.8 linux/amd64", False),
        ("a build of our own", False),
    ],
)
def test_outdated_kind_is_reported(log: Path, said: str, refused: bool) -> None:
    tell(log, "kind", f"echo {said}")
    tell(log, "docker")
    assert kind.available() == ("kind 0.11 is too old, expected 0.20 or newer" if refused else "")


def test_runtime_is_the_configured_one_else_the_first_found(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{log.parent}")
    monkeypatch.delenv(kind.RUNTIME_VARIABLE)
    assert kind.runtime() == ""
    for name in ("podman", "nerdctl"):
        tell(log, name)
    assert kind.runtime() == "nerdctl"
    monkeypatch.setenv(kind.RUNTIME_VARIABLE, "podman")
    assert kind.runtime() == "podman"
    monkeypatch.setenv(kind.RUNTIME_VARIABLE, "a-runtime-that-kind-does-not-know")
    assert kind.runtime() == "nerdctl"


def test_clusters_are_known_by_their_whole_name(log: Path) -> None:
    tell(log, "kind", "echo one; echo two")
    assert kind.exists("two")
    assert not kind.exists("tw")


def test_create_hands_kind_a_config_and_waits_for_all_nodes(
    log: Path, tmp_path: Path, nodes_waited_for: list[int]
) -> None:
    tell(log, "kind")
    kind.create("mine", 2, tmp_path / "kubeconfig")
    assert (
        log.read_text() == f"kind create cluster --name mine --config - --kubeconfig {tmp_path}/kubeconfig --retain\n"
    )
    config = yaml.safe_load(Path(f"{log}.config").read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert nodes_waited_for == [3]


@pytest.mark.usefixtures("nodes_waited_for")
def test_owned_nodes_drop_unanswered_connections_quickly(log: Path, tmp_path: Path) -> None:
    tell(log, "kind")
    tell(log, "docker", '[ "$1" = ps ] && echo mine-worker mine-control-plane; exit 0')
    kind.create("mine", 1, tmp_path / "kubeconfig")
    told = "sh -c echo 10 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_syn_sent"
    assert [line for line in log.read_text().splitlines() if " exec " in line] == [
        f"docker exec mine-control-plane {told}",
        f"docker exec mine-worker {told}",
    ]


@pytest.mark.usefixtures("nodes_waited_for")
def test_requested_node_image_is_passed_to_kind(log: Path, tmp_path: Path) -> None:
    tell(log, "kind")
    kind.create("mine", 1, tmp_path / "kubeconfig", "example/node:v1")
    assert log.read_text().endswith("--image example/node:v1\n")


@pytest.mark.usefixtures("nodes_waited_for")
def test_failure_quotes_kind_and_what_the_machine_lacks(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "shortages", lambda: ["fs.inotify.max_user_instances is 128"])
    tell(log, "kind", 'echo "ERROR: failed to pull image" >&2; exit 1')
    with pytest.raises(ClusterBroken, match=r"kind create cluster failed: ERROR: failed to pull image; fs\.inotify"):
        kind.create("mine", 1, tmp_path / "kubeconfig")


class Nodes:
    """An API that knows of nodes only: whether each is Ready, by its name."""

    def __init__(self, **ready: bool) -> None:
        self.items = [
            {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": str(is_ready)}]}}
            for name, is_ready in ready.items()
        ]

    def list(self, _resource: Any) -> Nodes:
        return self


def test_missing_or_unready_nodes_are_waited_for() -> None:
    """kind's own wait ends with the control plane."""
    with pytest.raises(TimedOut, match="1 of 2 nodes"):
        kind.wait_for_nodes(cast(KubeApi, Nodes(control=True)), 2, FakeClock())
    with pytest.raises(TimedOut, match="2 of 2 nodes, not ready: worker"):
        kind.wait_for_nodes(cast(KubeApi, Nodes(control=True, worker=False)), 2, FakeClock())
    kind.wait_for_nodes(cast(KubeApi, Nodes(control=True, worker=True)), 2, FakeClock())


def test_ports_in_use_are_skipped() -> None:
    first = kind.free_host_ports()
    with socket.create_server(("127.0.0.1", first + 7)):
        assert kind.free_host_ports() > first + 7


def test_lack_of_free_ports_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "port_is_free", lambda _port: False)
    with pytest.raises(ClusterBroken, match="no 40 consecutive ports"):
        kind.free_host_ports()


def test_only_node_ports_published_on_loopback_count(log: Path) -> None:
    bindings = {
        "30000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "30040"}],
        "30001/tcp": [{"HostIp": "0.0.0.0", "HostPort": "30041"}],
        "30002/tcp": None,
        "30003/udp": [{"HostIp": "127.0.0.1", "HostPort": "30043"}],
        # kind always publishes the API server so: no Service is behind that.
        "6443/tcp": [{"HostIp": "127.0.0.1", "HostPort": "40001"}],
    }
    tell(log, "docker", f"echo '{json.dumps(bindings)}'")
    assert kind.published_ports("mine") == {30000: 30040}
    assert log.read_text().endswith("mine-control-plane\n")


def test_delete_names_the_cluster_and_its_kubeconfig(log: Path, tmp_path: Path) -> None:
    tell(log, "kind")
    kind.delete("mine", tmp_path / "kubeconfig")
    assert log.read_text() == f"kind delete cluster --name mine --kubeconfig {tmp_path}/kubeconfig\n"


def test_failed_log_export_is_an_error_quoting_kind(log: Path, tmp_path: Path) -> None:
    tell(log, "kind", 'echo "ERROR: container mine-worker is not running" >&2; exit 1')
    with pytest.raises(ClusterBroken, match="kind export logs failed: ERROR: container mine-worker is not running"):
        kind.export_logs("mine", tmp_path / "logs")
    assert log.read_text() == f"kind export logs {tmp_path}/logs --name mine\n"


@pytest.mark.usefixtures("nodes_waited_for")
def test_existing_cluster_differs_from_one_that_failed(log: Path, tmp_path: Path) -> None:
    said = "ERROR: failed to create cluster: node(s) already exist for a cluster with the name mine"
    tell(log, "kind", f"echo '{said}' >&2; exit 1")
    with pytest.raises(kind.AlreadyThere, match="already exist"):
        kind.create("mine", 1, tmp_path / "kubeconfig")


def test_api_failure_while_waiting_for_nodes_breaks_the_cluster(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ApiError(403, "Forbidden", "not yet")

    monkeypatch.setattr(kind.KubeApi, "connect", lambda *_: None)
    monkeypatch.setattr(kind, "wait_for_nodes", fails)
    tell(log, "kind")
    with pytest.raises(ClusterBroken, match="403 Forbidden: not yet"):
        kind.create("mine", 1, tmp_path / "kubeconfig")


def test_kubeconfig_of_an_existing_cluster_comes_from_kind(log: Path, tmp_path: Path) -> None:
    tell(log, "kind")
    kind.export_kubeconfig("mine", tmp_path / "kubeconfig")
    assert log.read_text() == f"kind export kubeconfig --name mine --kubeconfig {tmp_path}/kubeconfig\n"


def test_long_error_keeps_both_ends() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('ERROR: no space' + 9000 * '.' + 'Stack trace')"]
    with pytest.raises(ClusterBroken, match=r"ERROR: no space\.+ \[…\] \.+Stack trace$") as caught:
        kind.run(command, 20)
    assert len(str(caught.value)) < 2500


# Starts a child that stays, in the same process group, and tells the ids of both. Neither ends when only asked to.
STARTS = "trap '' TERM; sleep 60 & echo $$ $! > {file}; echo begun; wait"


def test_ctrl_c_on_the_terminal_does_not_reach_a_command() -> None:
    """It goes to the terminal's process group: an undo that this process sees through must not end by it."""
    assert int(kind.run([sys.executable, "-c", "import os; print(os.getpgrp())"], 20)) != os.getpgrp()


def test_timed_out_command_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "GRACE_SECONDS", 0.1)
    with pytest.raises(ClusterBroken, match=r"took over 1 s"):
        kind.run(["sh", "-c", STARTS.format(file=tmp_path / "ids")], 1)
    assert_ended(tmp_path / "ids")


def test_interrupted_command_is_ended_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def communicate(child: subprocess.Popen[str], *_: object) -> None:
        assert child.stdout
        assert child.stdout.readline() == "begun\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(kind, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(subprocess.Popen, "communicate", communicate)
    with pytest.raises(KeyboardInterrupt):
        kind.run(["sh", "-c", STARTS.format(file=tmp_path / "ids")], 20)
    assert_ended(tmp_path / "ids")


def assert_ended(ids: Path) -> None:
    """Ended, if perhaps not yet buried: an orphan is another process's to wait for."""

    def look() -> tuple[bool | None, str]:
        states = [state_of(number) for number in ids.read_text().split()]
        return (not set(states) - {"", "Z", "X"}) or None, str(states)

    wait_until("both to have ended", look, 60.0, SystemClock(), every=0.01)


def state_of(process: str) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""

"""kind and Docker as commands on PATH that do as they are told: what the harness asks, and what it makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.cluster import kind
from harness.errors import ClusterBroken

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
    return tmp_path / "log"


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
    assert kind.available().startswith("the Docker daemon does not answer")
    assert "no daemon" in kind.available()
    tell(log, "docker")
    assert kind.available() == ""


def test_a_docker_that_hangs_is_no_docker(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "DOCKER_SECONDS", 0.2)
    tell(log, "kind")
    tell(log, "docker", "exec sleep 60")
    assert "took over 0.2 s" in kind.available()


def test_clusters_are_known_by_their_whole_name(log: Path) -> None:
    tell(log, "kind", "echo one; echo two")
    assert kind.exists("two")
    assert not kind.exists("tw")


def test_create_hands_kind_a_config_with_zones_and_ports(log: Path, tmp_path: Path) -> None:
    tell(log, "kind")
    kind.create("mine", 2, tmp_path / "kubeconfig")
    assert log.read_text() == (
        f"kind create cluster --name mine --config - --kubeconfig {tmp_path}/kubeconfig --wait 120s\n"
    )
    config = yaml.safe_load(Path(f"{log}.config").read_text())
    first, *workers = config["nodes"]
    assert {mapping["listenAddress"] for mapping in first["extraPortMappings"]} == {"127.0.0.1"}
    assert [mapping["hostPort"] for mapping in first["extraPortMappings"]] == list(range(30000, 30040))
    assert [node["labels"]["topology.kubernetes.io/zone"] for node in workers] == ["zone-a", "zone-b"]
    assert all("30000-30039" in patch for patch in config["kubeadmConfigPatches"])


def test_a_failure_is_told_in_kinds_own_words(log: Path, tmp_path: Path) -> None:
    tell(log, "kind", "echo ERROR: no space left >&2; exit 1")
    with pytest.raises(ClusterBroken, match="kind create cluster failed: ERROR: no space left"):
        kind.create("mine", 1, tmp_path / "kubeconfig")


def test_delete_names_the_cluster_and_its_kubeconfig(log: Path, tmp_path: Path) -> None:
    tell(log, "kind")
    kind.delete("mine", tmp_path / "kubeconfig")
    assert log.read_text() == f"kind delete cluster --name mine --kubeconfig {tmp_path}/kubeconfig\n"

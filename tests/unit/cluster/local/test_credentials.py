"""Who gets which file: components on their nodes, the user a kubeconfig that works from the machine."""

from pathlib import Path

import yaml

from harness.cluster.local.credentials import Credentials, context_name
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import Plan

API_PORT = 29950


def written(tmp_path: Path) -> ClusterPaths:
    paths = ClusterPaths(tmp_path)
    Credentials(Plan.of("shop", 1), paths).write(API_PORT)
    return paths


def test_user_kubeconfig_uses_loopback_and_an_allowed_context(tmp_path: Path) -> None:
    config = yaml.safe_load(written(tmp_path).kubeconfig.read_text())
    assert config["current-context"] == context_name("shop") == "local-shop"
    assert config["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{API_PORT}"


def test_key_files_are_private(tmp_path: Path) -> None:
    written(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_a_worker_gets_no_authoritys_key(tmp_path: Path) -> None:
    folder = written(tmp_path).node("worker-1").config
    assert {path.name for path in folder.rglob("*.key")} == {"kubelet.key"}

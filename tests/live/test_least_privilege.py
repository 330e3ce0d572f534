"""A cluster that is somebody else's, and an identity that may do little in it: what it may, is done; the rest is told.

The identity is that of ``few_rights.yaml``. The cluster is dialled from where its nodes are, as a stranger would. It is
not that of the session: there, the cluster roles of this test would be leftovers of the experiments beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.images import REGISTRY_HOST
from harness.cluster.local.plan import API_PORT
from harness.common.naming import SYSTEM_NAMESPACE
from tests.live import short_experiment
from tests.live.few_rights import CONTEXT, few_rights

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
ROOT = Path(__file__).parents[2]
NAME = "selftest-rights"
# One experiment that runs, and one for each thing that this identity or this cluster cannot do.
WITHOUT = {
    "self_healing/one-pod-killed.yaml": "no Prometheus found, needed for answered without 5xx",
    "autoscaling/cpu-load-ramps.yaml": "serve metrics.k8s.io",
    "state/leader-killed.yaml": "permission denied:",
}


@pytest.fixture
def somebodys() -> Iterator[LocalCluster]:
    """A local cluster for this test."""
    try:
        with closing(commands.up(NAME, 1)) as made:
            yield made
    finally:
        commands.down(NAME)


def run(cluster: LocalCluster, kubeconfig: Path, reports: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    # Without a Prometheus nobody can be asked whether an alert fires, which the guard does not let pass by itself.
    guard = reports / "guard.yaml"
    guard.write_text("refuseAlerts: null\n")
    command = [
        *(*cluster.load_command(), sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "no:cacheprovider"),
        *("-rs", f"--cluster={CONTEXT}", f"--cluster-allow={CONTEXT}", f"--kubeconfig={kubeconfig}"),
        *(f"--images={REGISTRY_HOST}", f"--report-dir={reports}", f"--guard={guard}", *paths),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_minimal_rights_suffice_for_pods_and_the_rest_is_skipped(somebodys: LocalCluster, tmp_path: Path) -> None:
    api = somebodys.api
    before = {item["metadata"]["name"] for item in api.list(NAMESPACES).items}
    server = f"https://{somebodys.node_port(API_PORT)}"
    with few_rights(api, server, tmp_path) as kubeconfig:
        # Of the cluster's Prometheus it is not told, and may not find it.
        short = short_experiment.write(tmp_path, without=["prometheus"])
        done = run(somebodys, kubeconfig, tmp_path, str(short), *(f"experiments/{name}" for name in WITHOUT))
    said = " ".join(done.stdout.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"1 passed, {len(WITHOUT)} skipped" in said
    for reason in WITHOUT.values():
        assert reason in said, done.stdout
    assert "nodes unknown (permission denied)" in said
    _proves_what_it_did(json.loads(next(tmp_path.glob("*/results.json")).read_text()))
    assert {item["metadata"]["name"] for item in api.list(NAMESPACES).items} <= before | {SYSTEM_NAMESPACE}
    assert not [item for item in api.list(CONFIG_MAPS, SYSTEM_NAMESPACE).items if "undo" in item["metadata"]["name"]]


def _proves_what_it_did(results: dict[str, Any]) -> None:
    (held,) = results["experiments"]
    assert held["verdict"] == "HELD", held["reason"]
    assert held["faults"][0]["proven"]
    environment = results["environment"]
    assert (environment["provider"], environment["nodes"]) == ("kubeconfig", [])
    assert set(environment["capabilities"]) == {"local-images", "load-balanced-service"}

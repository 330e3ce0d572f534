"""kind for real: a cluster made by the unmodified kind, experiments on it, its nodes' power, and nothing left of it.

Opt-in, with TEST_KIND=1: it starts a Docker daemon of its own (``tests/live/kindhost``), which needs root on a Debian,
some 3 GB of disk and, the first time, ten minutes of building.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.clock import SystemClock
from harness.cluster.api import KubeApi
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.local.progress import Lines
from harness.cluster.local.residue import Machine
from harness.cluster.resources import NODES
from harness.waiting import wait_until
from tests.live.kindhost import daemon, node_image
from tests.live.kindhost.daemon import DockerHost

SWITCH = "TEST_KIND"
NAME = "selftest"
EXPERIMENT = "experiments/self_healing/one-pod-killed.yaml"
ROOT = Path(__file__).parents[2]


def _why_not() -> str:
    if os.environ.get(SWITCH) != "1":
        return f"opt in with {SWITCH}=1"
    if os.geteuid() != 0 or sys.platform != "linux" or shutil.which("apt-get") is None:
        return "a Docker daemon of its own needs root on a Debian"
    return ""


pytestmark = [pytest.mark.live, pytest.mark.kind, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]


@pytest.fixture(scope="module")
def host() -> Iterator[DockerHost]:
    """A Docker daemon with the node image; afterwards the machine must be as it was."""
    progress = Lines()
    image = node_image.ensure(progress)
    before = Machine.look(daemon.NAME)
    with daemon.docker_host(image, progress) as made:
        yield made
        assert Machine.look(daemon.NAME).since(before), "the check for residue does not even see a running daemon"

    def look() -> tuple[bool | None, str]:
        left = Machine.look(daemon.NAME).since(before)
        return (None if left else True), "; ".join(left[:10])

    # The kernel takes a namespace away a moment after its last process.
    wait_until("nothing of the daemon to be left", look, 10.0, SystemClock())


@pytest.fixture(scope="module")
def first(host: DockerHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that made the cluster and kept it."""
    return run_experiment(host, tmp_path_factory.mktemp("first"), "--cluster-keep=always")


def run_experiment(host: DockerHost, reports: Path, *more: str) -> Path:
    """One experiment on kind, by the plugin, where the daemon's 127.0.0.1 is; returns the run's folder."""
    command = [
        *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--cluster=kind", f"--cluster-name={NAME}"),
        *(f"--kind-image={host.image.reference}", f"--report-dir={reports}", *more, EXPERIMENT),
    ]
    done = host.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return next(path.parent for path in reports.glob("*/results.json"))


def results(run: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((run / "results.json").read_text())
    return body


def clusters(host: DockerHost) -> list[str]:
    return str(host.run(["kind", "get", "clusters"], capture_output=True).stdout).split()


def test_an_experiment_holds_on_a_cluster_that_was_made_for_it(host: DockerHost, first: Path) -> None:
    (experiment,) = results(first)["experiments"]
    assert experiment["verdict"] == "HELD", experiment["reason"]
    environment = results(first)["environment"]
    assert environment["provider"] == "kind"
    assert {node["zone"] for node in environment["nodes"]} >= {"zone-a", "zone-b"}
    assert clusters(host) == [NAME]


def test_a_cluster_that_is_there_is_used_as_it_is_and_not_deleted(
    host: DockerHost, first: Path, tmp_path: Path
) -> None:
    kubeconfig = first / f"kind-{NAME}.kubeconfig"
    second = run_experiment(host, tmp_path, f"--kubeconfig={kubeconfig}")
    assert results(second)["experiments"][0]["verdict"] == "HELD"
    assert clusters(host) == [NAME]


def is_ready(api: KubeApi, node: str) -> bool:
    conditions = api.get(NODES, node)["status"]["conditions"]
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def test_a_cut_off_node_is_missed_and_comes_back(host: DockerHost, first: Path) -> None:
    """Runs where the daemon's 127.0.0.1 is, since that is where the API is."""
    done = host.run(
        [sys.executable, "-m", "tests.live.test_kind", str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout


def _cut_off_and_back(run: Path) -> None:
    api = KubeApi.connect(run / f"kind-{NAME}.kubeconfig", f"kind-{NAME}")
    nodes, node, clock = KindNodes(), f"{NAME}-worker", SystemClock()

    def wait_for(ready: bool) -> None:
        wait_until(f"{node}: {ready}", lambda: (is_ready(api, node) is ready or None, "not yet"), 90.0, clock)

    nodes.cut_off(node)
    wait_for(False)
    nodes.reconnect(node)
    wait_for(True)
    nodes.kill(node)
    assert nodes.power(node) == "stopped"
    nodes.start(node)
    wait_for(True)


if __name__ == "__main__":
    _cut_off_and_back(Path(sys.argv[1]))

"""kind for real: a cluster made by the unmodified kind, experiments on it, its nodes' power, and nothing left of it.

It starts a Docker daemon of its own (``tests/live/kindhost``), which takes root on a Debian, some 3 GB of disk and, the
first time, some minutes of building. ``TEST_KIND=0`` leaves it out, and ``TEST_KIND=full`` runs the whole catalogue
with its twins besides, which takes half an hour.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.kind import commands as kind
from harness.cluster.kind import machine
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.conditions import holds
from harness.cluster.kube.resources import LEASES, NODES
from harness.cluster.local import limits
from harness.cluster.local.paths import cache_root
from harness.cluster.local.residue import Machine
from harness.common.clock import SystemClock
from harness.common.errors import ClusterBroken
from harness.common.progress import Lines
from harness.common.waiting import wait_until
from harness.engine.settings import resolve
from harness.experiment.files import is_experiment
from harness.experiment.loading import load_experiment
from harness.experiment.project_files import ProjectFiles
from harness.experiment.sources import Sources
from harness.pytest_plugin.session import Session
from tests.live import short_experiment
from tests.live.kindhost import capabilities, daemon, debian_root, node_image
from tests.live.kindhost.daemon import DockerHost

SWITCH = "TEST_KIND"
OFF, FULL = "0", "full"
NAME = "selftest"
WORKER = f"{NAME}-worker"
ROOT = Path(__file__).parents[2]
# Of a control plane and a worker, as counted and measured on running ones.
INOTIFY, DISK_GB = 40, 5


def _why_not() -> str:
    if os.environ.get(SWITCH) == OFF:
        return f"turned off with {SWITCH}={OFF}"
    if os.geteuid() != 0 or sys.platform != "linux":
        return "a Docker daemon of its own needs root on Linux"
    return capabilities.unlike(debian_root.SUITE)


def _no_room() -> str:
    """What this machine has too little of just now."""
    room = shutil.disk_usage(next(path for path in [cache_root(), *cache_root().parents] if path.exists())).free
    if room < DISK_GB * 10**9:
        return f"{room / 10**9:.1f} GB of disk are free, {DISK_GB} are needed"
    limit, used = int(limits.INOTIFY_LIMIT.read_text()), limits.inotify_in_use()
    if used + INOTIFY > limit:
        return f"{used} of the machine's {limit} inotify instances are in use, and kind needs {INOTIFY}"
    return next((short for short in machine.shortages() if "memory" in short), "")


pytestmark = [pytest.mark.live, pytest.mark.kind, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]
full = pytest.mark.skipif(os.environ.get(SWITCH) != FULL, reason=f"takes long: {SWITCH}={FULL}")


@pytest.fixture(scope="module")
def host() -> Iterator[DockerHost]:
    """A Docker daemon with the node image; afterwards the machine must be as it was."""
    if short := _no_room():
        pytest.skip(short)
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
    wait_until("nothing of the daemon to be left", look, 60.0, SystemClock())


@pytest.fixture(scope="module")
def first(host: DockerHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that made the cluster and kept it."""
    folder = tmp_path_factory.mktemp("first")
    return run(host, folder, str(short_experiment.write(folder)), "--cluster-keep=always")


def run(host: DockerHost, reports: Path, *more: str, name: str = NAME, workers: int = 1) -> Path:
    """Experiments on kind, by the plugin, where the daemon's 127.0.0.1 is; returns the run's folder."""
    command = [
        *(sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "no:cacheprovider", "--cluster=kind"),
        *(f"--cluster-name={name}", f"--cluster-nodes={workers}", f"--kind-image={host.image.reference}"),
        *(f"--report-dir={reports}", *more),
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
    assert [node["zone"] for node in environment["nodes"]] == ["", "zone-a"]
    assert clusters(host) == [NAME]


def test_twin_uses_an_existing_cluster_and_does_not_delete_it(host: DockerHost, first: Path, tmp_path: Path) -> None:
    """A second session, which is told of no kubeconfig: what was installed for the first is found."""
    file = short_experiment.write(tmp_path, twins=True)
    second = run(host, tmp_path, str(file), "--twins", f"-k={short_experiment.TWIN}")
    (twin,) = results(second)["experiments"]
    assert (twin["twin"], twin["verdict"]) == (short_experiment.TWIN, "BROKEN"), twin["reason"]
    assert results(second)["environment"]["prometheus"] == results(first)["environment"]["prometheus"] != ""
    assert clusters(host) == [NAME]


def test_node_fault_is_journalled_and_undone(host: DockerHost, first: Path, tmp_path: Path) -> None:
    """Of those there are the one that takes least time: users notice nothing, and no node has to be missed first."""
    done = run(host, tmp_path, str(without_containerd(tmp_path)), "--allow-disruptive")
    (experiment,) = results(done)["experiments"]
    (fault,) = experiment["faults"]
    assert [victim["name"] for victim in fault["victims"]] == [WORKER]
    assert fault["proven"], fault["evidence"]
    assert [(undo["kind"], undo["state"]) for undo in fault["undo"]] == [("nodeService", "done")]
    asked = host.run(["docker", "exec", WORKER, "systemctl", "is-active", "containerd"], capture_output=True)
    assert asked.stdout == "active\n"


def without_containerd(folder: Path) -> Path:
    file = short_experiment.write(folder)
    body = yaml.safe_load(file.read_text())
    # The only worker has all of the replicas.
    body |= {"disruptive": True, "safety": {"lastReplica": "allowed"}}
    body["faults"] = [{"nodeService": {"hosting": "app=podinfo", "count": 1, "service": "containerd"}}]
    body["objectives"] = [{"availability": {"min": "90%"}}]
    file.write_text(yaml.safe_dump(body))
    return file


def kubeconfig(first: Path) -> Path:
    return first / f"kind-{NAME}.kubeconfig"


def inside(host: DockerHost, step: Callable[..., None], *arguments: object) -> None:
    """Run a function of this module where the daemon's 127.0.0.1 is, since that is where the API is."""
    command = [sys.executable, "-m", "tests.live.test_kind", step.__name__, *map(str, arguments)]
    done = host.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_node_power_loss_is_undone_and_reachable_logs_are_kept(host: DockerHost, first: Path, tmp_path: Path) -> None:
    inside(host, power_off_and_on, kubeconfig(first), tmp_path)


def power_off_and_on(config: str, folder: str) -> None:
    api, nodes, clock = KubeApi.connect(Path(config), f"kind-{NAME}"), KindNodes(), SystemClock()
    kept = Path(folder)
    kind.export_logs(NAME, kept / "all")
    for node in (f"{NAME}-control-plane", WORKER):
        assert (kept / "all" / node / "kubernetes-version.txt").read_text().startswith("v1.")
        assert "podinfo" in (kept / "all" / node / "images.log").read_text()
        assert "kubelet" in (kept / "all" / node / "kubelet.log").read_text()
    nodes.kill(WORKER)
    assert nodes.power(WORKER) == "stopped"
    with pytest.raises(ClusterBroken, match="kind export logs"):
        kind.export_logs(NAME, kept / "some")
    assert "podinfo" in (kept / "some" / f"{NAME}-control-plane" / "images.log").read_text()
    before = renewed(api)
    nodes.start(WORKER)
    wait_until("its kubelet to report", lambda: (renewed(api) > before or None, "not yet"), 60.0, clock)
    wait_for_node(api, ready=True)


def renewed(api: KubeApi) -> str:
    return str(api.get(LEASES, WORKER, "kube-node-lease")["spec"]["renewTime"])


def wait_for_node(api: KubeApi, *, ready: bool) -> None:
    def look() -> tuple[bool | None, str]:
        return (holds(api.get(NODES, WORKER), "Ready") is ready) or None, "not yet"

    wait_until(f"{WORKER} to be {'ready' if ready else 'missed'}", look, 90.0, SystemClock())


@full
def test_cut_off_node_becomes_not_ready_and_recovers(host: DockerHost, first: Path) -> None:
    inside(host, cut_off_and_back, kubeconfig(first))


def cut_off_and_back(config: str) -> None:
    api, nodes = KubeApi.connect(Path(config), f"kind-{NAME}"), KindNodes()
    nodes.cut_off(WORKER)
    wait_for_node(api, ready=False)
    nodes.reconnect(WORKER)
    wait_for_node(api, ready=True)


def test_cluster_is_deleted_without_leftovers_unless_kept(host: DockerHost, first: Path) -> None:
    """Its network stays by kind's design: it is shared by all clusters."""
    inside(host, take_down, first)
    assert clusters(host) == []
    for listed in (["ps", "--all", "--quiet"], ["volume", "ls", "--quiet"]):
        assert host.run(["docker", *listed], capture_output=True).stdout == ""
    assert NAME not in kubeconfig(first).read_text()


def take_down(run: str) -> None:
    """The end of the session that made it, put off until now: whichever process finds its run deletes the cluster."""
    folder = Path(run)
    chosen = {"resilience_cluster_name": NAME, "resilience_report_dir": str(folder.parent)}
    settings = resolve("kind", chosen.get, lambda _: "", {"RESILIENCE_HARNESS_IMAGES": "build"})
    files = ProjectFiles(ROOT, settings.guard, settings.halt_file)
    Session(settings, ROOT, files, folder.name, 0, "", Lines()).take_down(passed=True)


@full
def test_the_whole_catalogue_with_its_twins(host: DockerHost, tmp_path: Path) -> None:
    strictly = ("--twins", "--allow-disruptive", "--cluster-strict")
    done = run(host, tmp_path, "experiments", *strictly, name="whole", workers=2)
    came_out = [(each["name"], each["twin"], each["verdict"]) for each in results(done)["experiments"]]
    assert sorted(came_out) == sorted(expected())
    assert clusters(host) == []


def expected() -> Iterator[tuple[str, str, str]]:
    """Every experiment of the catalogue and every twin, with the verdict that it has on the local cluster."""
    for file in filter(is_experiment, (ROOT / "experiments").rglob("*.yaml")):
        experiment = load_experiment(file, Sources.for_root(ROOT))
        yield experiment.name, "", "HELD"
        yield from ((experiment.name, twin, "BROKEN") for twin in experiment.twins)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

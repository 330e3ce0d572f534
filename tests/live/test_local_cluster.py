"""The local cluster for real: what it can do, that two do not meet, and that nothing is left when it is gone.

Needs root on Linux. Uses clusters with names of their own and leaves every other one alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.images import ImageOptions
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import NAMESPACES, NODES, POD_METRICS, PODS, VOLUME_CLAIMS
from harness.cluster.local import commands
from harness.cluster.local.archive import write_image
from harness.cluster.local.boot import Boot
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.inventory import programs_of
from harness.cluster.local.locks import locked
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.residue import Machine
from harness.cluster.local.state import ClusterState
from harness.cluster.local.supply.build import Recipe, build
from harness.cluster.local.supply.store import ImageStore
from harness.cluster.protocol import Capability
from harness.common.clock import SystemClock
from harness.common.errors import ClusterBroken, ClusterUnreachable
from harness.common.waiting import wait_until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = "selftest"
SECOND = "selftest-2"
KILLED = "selftest-kill"
NAMESPACE = "live"
WAIT_SECONDS = 90.0
CLOCK = SystemClock()


def silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def only_run() -> Iterator[None]:
    """Two runs of this module at a time would take each other's clusters down: the second waits."""
    with locked("selftest", silent, "another run of these tests"):
        yield


@pytest.fixture(scope="module")
def local(only_run: None) -> Iterator[LocalCluster]:
    """A cluster for this module; afterwards the machine must be as it was."""
    commands.down(NAME, silent)
    before = Machine.look(NAME)
    made = commands.up(NAME, 2, silent)
    made.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield made
    made.close()
    during = Machine.look(NAME).since(before)
    assert during, "the check for residue does not even see a running cluster"
    commands.down(NAME, silent)
    assert_nothing_left(before, NAME)


def assert_nothing_left(before: Machine, name: str) -> None:
    """The kernel takes a namespace away a moment after its last process: wait for that, then compare."""

    def look() -> tuple[bool | None, str]:
        left = Machine.look(name).since(before)
        return (None if left else True), "; ".join(left[:10])

    wait_until(f"nothing of {name} to be left", look, 60.0, CLOCK)


def wait_for(what: str, found: Callable[[], Any]) -> Any:
    """Whatever ``found`` returns first that is true."""
    return wait_until(what, lambda: (found() or None, "not yet"), WAIT_SECONDS, CLOCK)


def container(image: str, *command: str, **more: Any) -> dict[str, Any]:
    return {"name": "main", "image": image, **({"command": [*command]} if command else {}), **more}


def pod(name: str, main: dict[str, Any], **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [main], **spec}}


def ready(api: KubeApi, name: str) -> bool:
    conditions = api.get(PODS, name, NAMESPACE).get("status", {}).get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


@pytest.fixture(scope="module")
def server(local: LocalCluster) -> int:
    """podinfo behind a NodePort; returns the port."""
    port = (ClusterState.load(ClusterPaths.of(NAME)) or pytest.fail("no state")).node_ports[0] + 50
    body = pod("podinfo", container(local.image("podinfo"), ports=[{"containerPort": 9898}]))
    body["metadata"]["annotations"] = {"prometheus.io/scrape": "true", "prometheus.io/port": "9898"}
    local.api.apply(body)
    ports = [{"port": 80, "targetPort": 9898, "nodePort": port}]
    service = {"type": "NodePort", "selector": {"app": "podinfo"}, "ports": ports}
    metadata = {"name": "podinfo", "namespace": NAMESPACE}
    local.api.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service})
    wait_for("podinfo to be ready", lambda: ready(local.api, "podinfo"))
    wait_for("the NodePort to be served", lambda: answers(f"http://{local.loopback(port)}/healthz"))
    return port


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_loaded_image_is_pulled_under_its_own_name(local: LocalCluster, tmp_path: Path) -> None:
    """An archive of an image that no registry has: its name and digest are those of the pod's container."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root/hello").write_text("from the archive")
    name, store = "made.example/shop/web:7", ImageStore(tmp_path / "store")
    built = build(Recipe(tmp_path / "root", name, cmd=("sleep", "3600")), store, silent)
    archive = write_image(store.blobs, built.descriptor, name, tmp_path / "web.tar")
    local.use_images(ImageOptions(load=(str(archive),)))
    try:
        assert local.image_source(name).where == f"archive {archive}"
        local.bring_images([name], silent, frozenset({name}))
        for policy in ("Always", "Never"):
            local.api.apply(pod(policy.lower(), container(name, imagePullPolicy=policy)))
        local.api.apply(pod("pinned", container(f"made.example/shop/web@{built.digest}")))
        local.api.apply(pod("elsewhere", container("other.example/shop/web:7")))
        for running in ("always", "never", "pinned"):
            found = wait_for(f"pod {running}", lambda running=running: image_id(local, running))
            assert found == f"made.example/shop/web@{built.digest}"
        failed = wait_for("the other registry to be refused", lambda: waiting_for(local, "elsewhere"))
        assert failed in {"ErrImagePull", "ImagePullBackOff"}
    finally:
        local.use_images(ImageOptions())
        shared = ImageStore.of_cache()
        with shared.locked(silent):
            shared.remove([name])


def image_id(local: LocalCluster, name: str) -> str:
    status = local.api.get(PODS, name, NAMESPACE)["status"].get("containerStatuses") or [{}]
    return str(status[0].get("imageID", "")) if "running" in status[0].get("state", {}) else ""


def waiting_for(local: LocalCluster, name: str) -> str:
    status = local.api.get(PODS, name, NAMESPACE)["status"].get("containerStatuses") or [{}]
    reason = str((status[0].get("state", {}).get("waiting") or {}).get("reason", ""))
    return "" if reason == "ContainerCreating" else reason


def test_every_worker_has_a_separate_zone_and_its_real_version(local: LocalCluster) -> None:
    nodes = local.api.list(NODES).items
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}
    assert len(zones) == len(nodes) == 3
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == {local.api.version()} == {"v1.36.3"}


def test_all_capabilities_are_present(local: LocalCluster) -> None:
    # Installed for the first experiment that needs them.
    on_demand = {Capability.CUSTOM_METRICS, Capability.EXTERNAL_METRICS}
    assert local.capabilities() == frozenset(Capability) - on_demand


def test_commands_can_be_run_and_logs_read_in_a_container(local: LocalCluster, server: int) -> None:
    done = local.api.exec(NAMESPACE, "podinfo", ["sh", "-c", "pidof podinfo && id -u"])
    assert (done.stdout.split(), done.exit_code) == (["1", "1000"], 0)
    assert "Starting podinfo" in local.api.logs(NAMESPACE, "podinfo", "main")


def test_names_of_services_resolve_in_pods(local: LocalCluster, server: int) -> None:
    done = local.api.exec(NAMESPACE, "podinfo", ["wget", "-qO-", f"http://podinfo.{NAMESPACE}/readyz"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) == {"status": "OK"}


def test_node_port_is_reachable_on_loopback_and_by_the_load(local: LocalCluster, server: int) -> None:
    assert answers(f"http://{local.loopback(server)}/readyz")
    url = f"http://{local.node_port(server)}/readyz"
    assert not answers(url), "the nodes' addresses must not exist in the machine's own network"
    done = subprocess.run([*local.load_command(), "busybox", "wget", "-qO-", url], capture_output=True, check=True)
    assert json.loads(done.stdout) == {"status": "OK"}


def test_pods_reach_a_listener_of_the_load_generator(local: LocalCluster, server: int) -> None:
    command = [*local.load_command(), "busybox", "nc", "-l", "-p", "8123", "-e", "echo", "from-the-load-generator"]
    with subprocess.Popen(command) as listener:
        listening = Path(f"/proc/{listener.pid}/net/tcp6"), Path(f"/proc/{listener.pid}/net/tcp")
        wait_for("the listener", lambda: any(":1FBB " in path.read_text() for path in listening))
        done = local.api.exec(NAMESPACE, "podinfo", ["nc", "-w", "3", str(local.load_host()), "8123"])
        listener.kill()
    assert done.stdout.strip() == "from-the-load-generator"


def test_prometheus_scrapes_an_annotated_pod_with_its_labels(local: LocalCluster, server: int) -> None:
    state = ClusterState.load(ClusterPaths.of(NAME))
    assert state is not None
    base = f"http://{local.loopback(state.prometheus_port)}/api/v1/query?query="

    def found() -> list[dict[str, Any]]:
        with urllib.request.urlopen(f'{base}up{{pod="podinfo"}}==1', timeout=30) as response:
            return list(json.load(response)["data"]["result"])

    series = wait_for("Prometheus to scrape podinfo", found)
    assert len(series) == 1, "one pod must be one target"
    labels = series[0]["metric"]
    assert (labels["namespace"], labels["pod"], labels["service"]) == (NAMESPACE, "podinfo", "podinfo")


def test_the_metrics_api_measures_pods(local: LocalCluster, server: int) -> None:
    measured = wait_for("metrics of podinfo", lambda: local.api.find(POD_METRICS, "podinfo", NAMESPACE))
    assert measured["containers"][0]["usage"]["memory"]


def test_missing_tag_is_an_immediate_pull_error(local: LocalCluster) -> None:
    image = f"{local.image('podinfo').rsplit(':', 1)[0]}:does-not-exist"
    local.api.apply(pod("bad-tag", container(image)))
    local.api.apply(pod("bad-name", container("does-not:exist")))

    def failed(name: str) -> bool:
        statuses = local.api.get(PODS, name, NAMESPACE)["status"].get("containerStatuses", [{}])
        return statuses[0].get("state", {}).get("waiting", {}).get("reason", "") in {"ErrImagePull", "ImagePullBackOff"}

    for name in ("bad-tag", "bad-name"):
        wait_for(f"{name} to fail", partial(failed, name))
        local.api.delete(PODS, name, NAMESPACE, grace_seconds=0)


def test_a_claim_is_provisioned_and_its_data_outlives_the_pod(local: LocalCluster) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    metadata = {"name": "data", "namespace": NAMESPACE}
    local.api.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim})
    volume = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    command = ("sh", "-c", "echo written by $HOSTNAME >> /data/log; sleep 1000000")
    mounts = [{"name": "data", "mountPath": "/data"}]
    for name in ("first", "second"):
        local.api.apply(pod(name, container(local.image("busybox"), *command, volumeMounts=mounts), **volume))
        wait_for(f"{name} to be ready", partial(ready, local.api, name))
        lines = local.api.exec(NAMESPACE, name, ["cat", "/data/log"]).stdout.splitlines()
        local.api.delete(PODS, name, NAMESPACE, grace_seconds=0)
    assert lines == ["written by first", "written by second"]
    local.api.delete(VOLUME_CLAIMS, "data", NAMESPACE)


def test_a_pod_cannot_write_to_the_machines_files(local: LocalCluster) -> None:
    """A hostPath volume sees the node's own /var and /tmp, and the rest of the machine read-only."""
    probe = Path("/tmp") / "written-by-a-pod"
    paths = {"tmp": "/tmp", "etc": "/etc"}
    volumes = {"volumes": [{"name": name, "hostPath": {"path": path}} for name, path in paths.items()]}
    mounts = [{"name": name, "mountPath": f"/machine{path}"} for name, path in paths.items()]
    main = container(local.image("busybox"), "sleep", "1000", volumeMounts=mounts)
    local.api.apply(pod("host-path", main, **volumes))
    wait_for("the pod to be ready", lambda: ready(local.api, "host-path"))
    assert local.api.exec(NAMESPACE, "host-path", ["touch", f"/machine/tmp/{probe.name}"]).exit_code == 0
    assert not probe.exists()
    assert local.api.exec(NAMESPACE, "host-path", ["touch", f"/machine/etc/{probe.name}"]).exit_code != 0
    local.api.delete(PODS, "host-path", NAMESPACE, grace_seconds=0)


def test_up_twice_is_one_cluster(local: LocalCluster) -> None:
    uid = local.api.get(NAMESPACES, "kube-system")["metadata"]["uid"]
    said: list[str] = []
    again = commands.up(NAME, 2, said.append)
    assert said == [f"the local cluster {NAME} is up already"]
    assert again.api.get(NAMESPACES, "kube-system")["metadata"]["uid"] == uid
    with pytest.raises(ClusterBroken, match="is up with 2 workers, not 3"):
        commands.up(NAME, 3, silent)


def test_two_clusters_side_by_side_and_repair_and_removal_of_one(local: LocalCluster) -> None:
    """One test, for a second cluster takes its time: they are two; a lost program comes back; visitors are ended."""
    before = Machine.look(SECOND)
    try:
        with closing(commands.up(SECOND, 1, silent)) as second:
            uids = {each.api.get(NAMESPACES, "kube-system")["metadata"]["uid"] for each in (local, second)}
            assert len(uids) == 2
            assert len(second.api.list(NODES).items) == 2
            assert_killed_programs_come_back(second)
            with subprocess.Popen([*second.load_command(), "sleep", "1000"]) as visitor:
                commands.down(SECOND, silent)
                assert visitor.wait(10) == -signal.SIGKILL
    finally:
        commands.down(SECOND, silent)
    assert_nothing_left(before, SECOND)
    assert commands.status(NAME).healthy
    with pytest.raises(ClusterUnreachable):
        LocalCluster.attach(SECOND)


def assert_killed_programs_come_back(second: LocalCluster) -> None:
    uid = second.api.get(NAMESPACES, "kube-system")["metadata"]["uid"]
    for role, name in (("worker-1", "kubelet"), ("control-plane", "registry"), ("control-plane", "etcd")):
        victim = programs_of(SECOND, ClusterPaths.of(SECOND)).pid(role, name)
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
    wait_for("etcd to be missed", lambda: not commands.status(SECOND).healthy)
    said: list[str] = []
    commands.up(SECOND, 1, said.append).close()
    assert "control-plane etcd ended with exit code 137" in said[0]
    assert "worker-1 kubelet ended with exit code 137" in said[0]
    assert commands.status(SECOND).healthy
    assert second.api.get(NAMESPACES, "kube-system")["metadata"]["uid"] == uid, "it is still the same cluster"


UP = "import sys; from harness.cluster.local import commands; commands.up(sys.argv[1], 2)"


@pytest.mark.parametrize("seconds", [0.6, 1.0, 1.4, 2.5, 6.0, 10.0])
def test_down_after_a_killed_up_leaves_nothing(local: LocalCluster, seconds: float) -> None:
    """``local`` is here so that packages, programs and images are there: the kill is to hit the boot itself."""
    before = Machine.look(KILLED)
    with subprocess.Popen([sys.executable, "-c", UP, KILLED], stderr=subprocess.DEVNULL) as process:
        CLOCK.sleep(seconds)
        process.kill()
    commands.down(KILLED, silent)
    assert_nothing_left(before, KILLED)
    assert commands.status(NAME).healthy


def test_failed_boot_names_the_program_its_exit_code_and_log(local: LocalCluster, tmp_path: Path) -> None:
    before = Machine.look(SECOND)
    state = ClusterState.load(ClusterPaths.of(NAME))
    assert state is not None
    for program in filter(Path.is_file, Path(state.binaries).iterdir()):
        (tmp_path / program.name).hardlink_to(program)
    (tmp_path / "kube-scheduler").unlink()
    (tmp_path / "kube-scheduler").write_text("#!/bin/sh\necho unknown flag: --leader-elect >&2\nexit 3\n")
    (tmp_path / "kube-scheduler").chmod(0o755)
    broken = replace(state, name=SECOND, slot=12, binaries=str(tmp_path), ready=False)
    try:
        broken.save(ClusterPaths.of(SECOND))
        with pytest.raises(ClusterBroken, match=r"(?s)kube-scheduler on control-plane .* exit code 3.*unknown flag"):
            Boot(broken, ClusterPaths.of(SECOND), CLOCK, silent).run()
    finally:
        commands.down(SECOND, silent)
    assert_nothing_left(before, SECOND)

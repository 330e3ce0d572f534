"""Experiments on what runs in a namespace: in place, and as a copy with a twin.

Needs root on Linux. Uses a local cluster of its own. Run with ``-s`` to see what was measured.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, NAMESPACES, PODS
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked
from harness.common.clock import SystemClock
from harness.common.naming import RUN_LABEL, SYSTEM_NAMESPACE
from harness.common.waiting import wait_until
from harness.experiment.live.kinds import read_state
from harness.safety.cleanup.namespace_state import compare_objects
from tests.live.existing_namespaces import apply_as_user

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="a local cluster needs root on Linux"),
]
NAME = os.environ.get("LIVE_CLUSTER", "selftest-live")
NAMESPACE = "shop"
SECRET = "not-in-any-file"
ROOT = Path(__file__).resolve().parents[2]
CLOCK = SystemClock()
IN_PLACE = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: in-place}
hypothesis: The shop that runs in the namespace survives the loss of one pod.
workload: {existing: {namespace: shop, selector: app=shop}}
load: {rate: 20/s, target: service/shop:http}
phases: {baseline: 2s, fault: 3s, recovery: 20s, settle: 1s}
faults:
  - podKill: {selector: app=shop, count: 1}
  - scale: {of: deployment/shop, replicas: 3}
objectives:
  - availability: {min: 80%}
  - recoveryTime: {of: deployment/shop, max: 20s}
"""


COPY = """\
apiVersion: resilience/v1
kind: Experiment
metadata: {name: copied}
hypothesis: A copy of the shop survives the loss of one pod, and with a single replica it does not.
workload: {copyOf: {namespace: shop, selector: app=shop, secrets: [greeting]}}
load: {rate: 20/s, target: service/shop:http}
phases: {baseline: 2s, fault: 3s, recovery: 20s, settle: 1s}
faults:
  - podKill: {selector: app=shop, count: 1, gracePeriod: 0s}
objectives:
  - availability: {min: 70%}
twins:
  one-replica:
    because: nothing serves until the only pod is replaced
    patch:
      deployment/shop:
        spec:
          replicas: 1
          template: {spec: {containers: [{name: podinfo, readinessProbe: {initialDelaySeconds: 4}}]}}
    safety: {lastReplica: allowed}
    breaks: [availability]
"""


def _objects(image: str) -> list[Object]:
    labels = {"app": "shop"}
    container = {
        "name": "podinfo",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["./podinfo", "--port=9898"],
        "ports": [{"name": "http", "containerPort": 9898}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "greeting"}}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 3}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    port = {"name": "http", "port": 80, "targetPort": "http"}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"GREETING": "hello"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "greeting"}, "stringData": {"PASSWORD": SECRET}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "labels": labels}, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "shop", "labels": labels},
            "spec": {"type": "NodePort", "selector": labels, "ports": [port]},
        },
    ]


def _silent(_message: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with locked(f"selftest-{NAME}", _silent, "another run of these tests"):
        with closing(commands.up(NAME, 2, _silent)) as made:
            _deploy(made)
            yield made
        commands.down(NAME, _silent)


def _deploy(cluster: LocalCluster) -> None:
    """What a user runs: applied by another field manager than the harness's."""
    api = cluster.api
    labels = {"resilience.harness/opt-in": "true"}
    api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    for item in _objects(cluster.image("podinfo")):
        apply_as_user(api, item, NAMESPACE)

    def look() -> tuple[bool | None, str]:
        status = api.get(DEPLOYMENTS, "shop", NAMESPACE).get("status", {})
        return (True if status.get("availableReplicas") == 2 else None), str(status)

    wait_until("the shop to run", look, 60.0, CLOCK)


def _run(cluster: LocalCluster, folder: Path, experiment: str, *arguments: str) -> tuple[str, list[dict[str, Any]]]:
    (folder / "experiments").mkdir(exist_ok=True)
    name = next(line for line in experiment.splitlines() if line.startswith("metadata")).split()[2].rstrip("}")
    (folder / "experiments" / f"{name}.yaml").write_text(experiment)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "resilience-guard.yaml").write_text("copySecrets: [greeting]\n")
    where = [f"--cluster={cluster.context}", f"--kubeconfig={cluster.kubeconfig}", *arguments]
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("RESILIENCE_", "PYTEST"))}
    begun = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *where, "experiments"],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(f"{name}: exit code {ran.returncode} after {time.monotonic() - begun:.1f} s")
    text = ran.stdout + ran.stderr
    files = sorted(folder.glob("reports/*/results.json"))
    assert files, text
    return text, json.loads(files[-1].read_text())["experiments"]


def _own(cluster: LocalCluster) -> list[str]:
    """What the harness has in the cluster outside of its own namespace, and its Leases and journals."""
    api = cluster.api
    found = [f"namespace {item['metadata']['name']}" for item in api.list(NAMESPACES, None, RUN_LABEL).items]
    for resource in (CONFIG_MAPS, LEASES):
        found += [item["metadata"]["name"] for item in api.list(resource, SYSTEM_NAMESPACE, RUN_LABEL).items]
    return found


def _owners(objects: list[Object]) -> list[Any]:
    """The managed fields of the Deployment's spec: who would get a conflict from a later server-side apply."""
    (found,) = (item for item in objects if item["kind"] == "Deployment")
    return [entry for entry in found["metadata"]["managedFields"] if entry.get("subresource") != "status"]


def test_faults_in_an_existing_namespace_leave_it_as_before(cluster: LocalCluster, tmp_path: Path) -> None:
    before, _ = read_state(cluster.api, NAMESPACE)
    text, (record,) = _run(cluster, tmp_path, IN_PLACE)
    assert record["verdict"] == "HELD", text
    assert record["namespace"] == NAMESPACE
    assert all(fault["proven"] for fault in record["faults"])
    after, _ = read_state(cluster.api, NAMESPACE)
    found = compare_objects(before, after)
    print(f"{found.compared} objects compared, differences: {found.left + found.others or 'none'}")
    assert (found.left, found.others) == ((), ())
    assert any("every field is equal" in note for note in record["notes"])
    assert _owners(before) == _owners(after)
    assert _own(cluster) == []


def _none_ends(cluster: LocalCluster) -> tuple[bool | None, str]:
    ending = [pod["metadata"]["name"] for pod in cluster.api.list(PODS, NAMESPACE).items if _ends(pod)]
    return (None if ending else True), ", ".join(ending)


def _ends(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def test_twin_of_a_copy_leaves_the_original_alone(cluster: LocalCluster, tmp_path: Path) -> None:
    # A pod that the test before has killed may still be ending.
    wait_until("pods that end are gone", lambda: _none_ends(cluster), 40.0, SystemClock())
    before, _ = read_state(cluster.api, NAMESPACE)
    pods = sorted(pod["metadata"]["uid"] for pod in cluster.api.list(PODS, NAMESPACE).items)
    # Only the twin, for the sake of time: the experiment itself differs from the one in place by its namespace.
    text, (record,) = _run(cluster, tmp_path, COPY, "--twins", "-k", "one-replica")
    assert (record["twin"], record["verdict"]) == ("one-replica", "BROKEN"), text
    assert record["passed"]
    after, _ = read_state(cluster.api, NAMESPACE)
    found = compare_objects(before, after)
    assert (found.left, found.others) == ((), ())
    assert sorted(pod["metadata"]["uid"] for pod in cluster.api.list(PODS, NAMESPACE).items) == pods
    assert _own(cluster) == []
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    encoded = base64.b64encode(SECRET.encode())
    assert [file for file in files if SECRET.encode() in file.read_bytes() or encoded in file.read_bytes()] == []

"""podinfo behind a NodePort, as the target of a load, and a way to stall it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import PODS, SERVICES
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.protocol import Address
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.engine.steps.deploy import apply_workload, wait_for_workload

PROCESS = "podinfo"


def deploy(cluster: LocalCluster, namespace: str) -> Address:
    """Two replicas, ready. Returns where the load dials them. Raises Inconclusive when they do not become ready."""
    objects = [_deployment(cluster.image("podinfo")), _SERVICE]
    apply_workload(cluster.api, namespace, objects)
    wait_for_workload(cluster.api, namespace, objects, SystemClock())
    return cluster.node_port(cluster.api.get(SERVICES, "podinfo", namespace)["spec"]["ports"][0]["nodePort"])


def _deployment(image: str) -> Object:
    container = {
        "name": "podinfo",
        "image": image,
        "command": ["./podinfo", "--port=9898", "--level=error"],
        "ports": [{"name": "http", "containerPort": 9898}],
        # Patient: a stalled target shall stay the target.
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 2, "failureThreshold": 10},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "podinfo"}},
            "template": {"metadata": {"labels": {"app": "podinfo"}}, "spec": {"containers": [container]}},
        },
    }


_SERVICE: Object = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "podinfo"},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "podinfo"},
        "ports": [{"name": "http", "port": 9898, "targetPort": "http"}],
    },
}


@contextmanager
def stalled(cluster: LocalCluster, namespace: str) -> Iterator[None]:
    """Hold every process of the target with SIGSTOP: it keeps its connections and answers nothing."""
    processes = _processes(cluster, namespace)
    try:
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def _processes(cluster: LocalCluster, namespace: str) -> list[int]:
    uids = [pod["metadata"]["uid"] for pod in cluster.api.list(PODS, namespace).items]
    found = [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if _read(folder / "comm").strip() == PROCESS and any(uid in _read(folder / "cgroup") for uid in uids)
    ]
    if len(found) < len(uids):
        raise HarnessError(f"found {len(found)} processes {PROCESS} of {len(uids)} pods")
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        # It ended meanwhile.
        return ""

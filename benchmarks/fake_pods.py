"""Thousands of pods that only pretend to run: on nodes of KWOK, with the real API server, controllers and store."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.cluster.components import Component
from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.resources import DEPLOYMENTS, NODES
from harness.cluster.local import binaries
from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.errors import HarnessError
from harness.common.progress import Progress
from harness.common.waiting import wait_until

MODULE = Path(__file__).parent / "kwok"
KWOK = Component(
    "kwok",
    "sigs.k8s.io/kwok/cmd/kwok",
    "sigs.k8s.io/kwok",
    ("sigs.k8s.io/kwok/pkg/consts.Version=v{version}",),
    folder=str(MODULE),
)
ANNOTATION = "kwok.x-k8s.io/node"
LABELS = {"app": "scale"}
PODS_ON_A_NODE = 1000
ALL_READY = 600.0


@contextmanager
def kwok(cluster: LocalCluster, log: Path, progress: Progress) -> Iterator[Callable[[], None]]:
    """KWOK, built where it is missing (about two minutes), acting for the nodes that carry its annotation.

    Gives a function that raises HarnessError with KWOK's last words when it has ended.
    """
    built = binaries.ensure(progress, components=(KWOK,))
    command = [
        str(built.folder / KWOK.name),
        f"--kubeconfig={cluster.kubeconfig}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
        "--node-lease-duration-seconds=40",
        f"--config={MODULE / 'stages.yaml'}",
        "--cidr=198.19.128.1/17",
        "--v=WARN",
    ]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:

        def check() -> None:
            if process.poll() is not None:
                said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
                raise HarnessError("\n".join(["KWOK ended:", *said]))

        try:
            yield check
        finally:
            process.terminate()
            process.wait(timeout=20)


def make_nodes(api: KubeApi, count: int) -> None:
    """So many nodes for ``make_pods``; nothing else is scheduled onto them."""
    for number in range(count):
        capacity = {"cpu": "1000", "memory": "1000Gi", "pods": str(2 * PODS_ON_A_NODE)}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": _node(number), "annotations": {ANNOTATION: "fake"}, "labels": {"type": "kwok"}},
            "spec": {"taints": [{"key": ANNOTATION, "value": "fake", "effect": "NoSchedule"}]},
            "status": {"capacity": capacity, "allocatable": capacity},
        }
        api.create(NODES, node)


def make_pods(api: KubeApi, namespace: str, count: int, check: Callable[[], None], progress: Progress) -> None:
    """So many pods, all Ready: a Deployment for each node, bound to it by name, so that no scheduler is in the way.

    ``check`` is called at every look. Raises TimedOut with how many were ready.
    """
    nodes = -(-count // PODS_ON_A_NODE)
    make_nodes(api, nodes)
    for number in range(nodes):
        api.create(DEPLOYMENTS, _deployment(number, min(PODS_ON_A_NODE, count - number * PODS_ON_A_NODE)), namespace)
    told = [0]

    def look() -> tuple[bool | None, str]:
        check()
        found = api.list(DEPLOYMENTS, namespace).items
        ready = sum(item.get("status", {}).get("readyReplicas", 0) for item in found)
        if ready - told[0] >= count // 5:
            told[0] = ready
            progress(f"{ready} of {count} pods are ready")
        return (True if ready == count else None), f"{ready} of {count} are ready"

    wait_until(f"{count} pods", look, ALL_READY, SystemClock(), every=1.0)


def _node(number: int) -> str:
    return f"kwok-{number}"


def _deployment(number: int, replicas: int) -> Object:
    labels = {**LABELS, "part": f"p{number}"}
    probe = {"httpGet": {"path": "/readyz", "port": 9898}, "periodSeconds": 1}
    container = {
        "name": "app",
        "image": "registry.example/shop:1.2.3",
        "ports": [{"name": "http", "containerPort": 9898}],
        "env": [{"name": f"OPTION_{index}", "value": f"value {index}"} for index in range(8)],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": probe,
        "livenessProbe": {**probe, "periodSeconds": 2},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"scale-{number}"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"nodeName": _node(number), "containers": [container], "terminationGracePeriodSeconds": 5},
            },
        },
    }

"""The config that kind makes a cluster of ours from. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

FIRST_NODE_PORT = 30000
NODE_PORTS = 40
LOOPBACK = "127.0.0.1"
# Default 50 s: how long a node may be silent before it is missed. As on the local cluster, so that an experiment that
# loses a node says the same on both; twice the ten seconds between two signs of life of a kubelet.
NODE_GRACE = "20s"
# On the control plane's node from its first moment: tells a cluster that a run made, and perhaps kept, from any other.
# kubelet sets no label of Kubernetes' own domains on itself.
OURS = {"resilience.harness/made-by": "resilience-harness"}


def config(workers: int, first_host_port: int) -> dict[str, Any]:
    """One control plane with all NodePorts published from ``first_host_port`` up, and workers, each a zone of its own.

    The control plane's node publishes them, since experiments hit workers.
    """
    ports = f"{FIRST_NODE_PORT}-{FIRST_NODE_PORT + NODE_PORTS - 1}"
    mappings = [
        {"containerPort": FIRST_NODE_PORT + index, "hostPort": first_host_port + index, "listenAddress": LOOPBACK}
        for index in range(NODE_PORTS)
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        # kubeadm changed the shape of extraArgs; kind applies the patch whose version its own template has.
        "kubeadmConfigPatches": [
            yaml.safe_dump(_patch("v1beta3", dict, ports)),
            yaml.safe_dump(_patch("v1beta4", _pairs, ports)),
        ],
        "nodes": [
            {"role": "control-plane", "labels": OURS, "extraPortMappings": mappings},
            *({"role": "worker", "labels": _zone(index)} for index in range(workers)),
        ],
    }


def _patch(version: str, arguments: Callable[[Mapping[str, str]], object], ports: str) -> dict[str, Any]:
    return {
        "apiVersion": f"kubeadm.k8s.io/{version}",
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": arguments({"service-node-port-range": ports})},
        "controllerManager": {"extraArgs": arguments({"node-monitor-grace-period": NODE_GRACE})},
    }


def _pairs(arguments: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in arguments.items()]


def _zone(index: int) -> dict[str, str]:
    return {"topology.kubernetes.io/region": "local", "topology.kubernetes.io/zone": f"zone-{chr(ord('a') + index)}"}

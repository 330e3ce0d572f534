"""The kind config of owned clusters. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from harness.cluster.kube.ownership import MADE_BY

FIRST_NODE_PORT = 30000
NODE_PORTS = 40
LOOPBACK = "127.0.0.1"
# How long a node may be silent until it is marked NotReady; the default is 50 s. The same as on the local cluster, so
# that an experiment that loses a node gives the same result on both. Twice the 10 s between two kubelet heartbeats.
NODE_GRACE = "20s"


def config(workers: int, first_host_port: int) -> dict[str, Any]:
    """Return the config of one control plane and of workers, each in a separate zone.

    The control plane's node publishes all NodePorts, from ``first_host_port`` up: faults target workers.
    """
    ports = f"{FIRST_NODE_PORT}-{FIRST_NODE_PORT + NODE_PORTS - 1}"
    mappings = [
        {"containerPort": FIRST_NODE_PORT + index, "hostPort": first_host_port + index, "listenAddress": LOOPBACK}
        for index in range(NODE_PORTS)
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        # extraArgs is a map in v1beta3 and a list in v1beta4; kind applies the patch that matches its own version.
        "kubeadmConfigPatches": [
            yaml.safe_dump(_patch("v1beta3", dict, ports)),
            yaml.safe_dump(_patch("v1beta4", _pairs, ports)),
        ],
        "nodes": [
            {"role": "control-plane", "labels": MADE_BY, "extraPortMappings": mappings},
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

"""kind: a cluster in containers, made with a config of the harness's own and deleted unless kept.

An existing kind cluster is used as it is and never deleted. The rest of the code sees no difference to any other
kubeconfig, but for the NodePorts, which are mapped to 127.0.0.1, and the images, which are loaded from an archive.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.cluster.api import KubeApi
from harness.cluster.kubeconfig import KubeconfigCluster
from harness.cluster.local import commands, images
from harness.cluster.local.archive import write_archive
from harness.cluster.local.images import ImageSet
from harness.cluster.local.progress import Lines
from harness.cluster.protocol import Address, Capability, Provider
from harness.errors import ClusterBroken

FIRST_NODE_PORT = 30000
NODE_PORTS = 40
CREATE_SECONDS = 600
COMMAND_SECONDS = 120
DOCKER_SECONDS = 20


class KindCluster(KubeconfigCluster):
    """A kind cluster. ``mapped`` tells whether it is one of ours, with its NodePorts on 127.0.0.1."""

    provider: Provider = "kind"

    def __init__(self, api: KubeApi, kubeconfig: Path | None, context: str, *, mapped: bool) -> None:
        super().__init__(api, kubeconfig, context)
        self._mapped = mapped
        self._images_made: ImageSet | None = None

    @property
    def name(self) -> str:
        return self.context.removeprefix("kind-")

    def capabilities(self) -> frozenset[Capability]:
        found = super().capabilities() | {Capability.LOCAL_IMAGES}
        return frozenset(found | {Capability.LOAD_BALANCED_SERVICE}) if self._mapped else frozenset(found)

    def node_port(self, port: int) -> Address:
        return Address("127.0.0.1", port) if self._mapped else super().node_port(port)

    def image(self, name: str) -> str:
        if self._images_made is None:
            folder = images.ensure(commands.build(), Lines())
            self._images_made = ImageSet(folder)
            archive = write_archive(self._images_made, folder, folder / "images.tar")
            _command(["kind", "load", "image-archive", str(archive), "--name", self.name], COMMAND_SECONDS)
        return self._images_made.reference(name)


def available() -> str:
    """Why kind cannot be used on this machine, in one sentence; empty when it can."""
    if shutil.which("kind") is None:
        return "kind is not installed"
    if shutil.which("docker") is None:
        return "docker is not installed"
    try:
        _command(["docker", "info"], DOCKER_SECONDS)
    except ClusterBroken as error:
        return f"the Docker daemon does not answer: {error}"
    return ""


def exists(name: str) -> bool:
    """Whether there is a kind cluster of this name."""
    return name in _command(["kind", "get", "clusters"], COMMAND_SECONDS).split()


def create(name: str, workers: int, kubeconfig: Path) -> None:
    """Create a cluster and write its kubeconfig. Raises ClusterBroken with kind's own words."""
    command = ["kind", "create", "cluster", "--name", name, "--config", "-", "--kubeconfig", str(kubeconfig)]
    _command([*command, "--wait", "120s"], CREATE_SECONDS, yaml.safe_dump(config(workers)))


def delete(name: str, kubeconfig: Path) -> None:
    """Delete a cluster."""
    _command(["kind", "delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig)], COMMAND_SECONDS)


def config(workers: int) -> dict[str, Any]:
    """One control plane with all NodePorts mapped to 127.0.0.1, and workers, each a zone of its own."""
    ports = f"{FIRST_NODE_PORT}-{FIRST_NODE_PORT + NODE_PORTS - 1}"
    mappings = [
        {"containerPort": port, "hostPort": port, "listenAddress": "127.0.0.1"}
        for port in range(FIRST_NODE_PORT, FIRST_NODE_PORT + NODE_PORTS)
    ]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        # kubeadm changed the shape of extraArgs; kind applies the patch whose version its own template has.
        "kubeadmConfigPatches": [
            yaml.safe_dump(_patch("v1beta3", {"service-node-port-range": ports})),
            yaml.safe_dump(_patch("v1beta4", [{"name": "service-node-port-range", "value": ports}])),
        ],
        "nodes": [
            {"role": "control-plane", "extraPortMappings": mappings},
            *({"role": "worker", "labels": _zone(index)} for index in range(workers)),
        ],
    }


def _patch(version: str, arguments: object) -> dict[str, Any]:
    return {
        "apiVersion": f"kubeadm.k8s.io/{version}",
        "kind": "ClusterConfiguration",
        "apiServer": {"extraArgs": arguments},
    }


def _zone(index: int) -> dict[str, str]:
    return {"topology.kubernetes.io/region": "local", "topology.kubernetes.io/zone": f"zone-{chr(ord('a') + index)}"}


def _command(command: Sequence[str], seconds: float, text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise ClusterBroken(f"{' '.join(command[:3])} took over {seconds:g} s") from error
    except OSError as error:
        raise ClusterBroken(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise ClusterBroken(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout

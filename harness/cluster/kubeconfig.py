"""Any cluster of a kubeconfig: one that the harness did not make and never takes down."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.api import KubeApi
from harness.cluster.capabilities import served_by_api
from harness.cluster.local.binaries import COMPONENTS, OWN, versions
from harness.cluster.nodes import NodeControl
from harness.cluster.protocol import Address, Capability, Provider
from harness.cluster.resources import NODES
from harness.errors import ApiError, CapabilityMissing

KUBELET_PORT = 10250
DIAL_SECONDS = 1.0


class KubeconfigCluster:
    """A cluster by its kubeconfig context. ``images`` is the registry prefix where it finds the harness's images."""

    provider: Provider = "kubeconfig"

    def __init__(self, api: KubeApi, kubeconfig: Path | None, context: str, images: str = "") -> None:
        self._api = api
        self._kubeconfig = kubeconfig
        self._context = context
        self._images = images.rstrip("/")
        self._node: str | None = None

    @property
    def name(self) -> str:
        return self._context

    @property
    def context(self) -> str:
        return self._context

    @property
    def kubeconfig(self) -> Path | None:
        return self._kubeconfig

    @property
    def api(self) -> KubeApi:
        return self._api

    def capabilities(self) -> frozenset[Capability]:
        found = served_by_api(self._api)
        if self._images:
            found.add(Capability.LOCAL_IMAGES)
        if self._reachable_node():
            found.add(Capability.LOAD_BALANCED_SERVICE)
        return frozenset(found)

    def node_port(self, port: int) -> Address:
        node = self._reachable_node()
        if not node:
            raise CapabilityMissing("no node address of this cluster can be dialled from this machine")
        return Address(node, port)

    def loopback(self, port: int) -> Address:
        return self.node_port(port)

    def load_command(self) -> Sequence[str]:
        return ()

    def load_host(self) -> str | None:
        # Whether pods of a foreign cluster can dial this machine cannot be known from here.
        return None

    def image(self, name: str) -> str:
        if not self._images:
            raise CapabilityMissing(
                f"this cluster has no source for the image {name}: push the harness's images to a registry of yours "
                "and name it with --images"
            )
        return f"{self._images}/{name}:{versions((*COMPONENTS, *OWN)).get(name, 'latest')}"

    def nodes(self) -> NodeControl:
        raise CapabilityMissing(f"the machines below {self.name} are not the harness's to switch off or cut off")

    def close(self) -> None:
        self._api.close()

    def _reachable_node(self) -> str:
        """A node's address that this machine can dial, control planes first: load must not depend on a worker that an
        experiment may take away. Tried on the kubelet's port, which every node has open."""
        if self._node is None:
            self._node = next((address for address in self._addresses() if _dial(address)), "")
        return self._node

    def _addresses(self) -> list[str]:
        try:
            nodes = self._api.list(NODES).items
        except ApiError as error:
            if error.status != 403:
                raise
            # On small clusters the API server is on a node; a load balancer before it has no kubelet's port.
            return [urlsplit(self._api.server).hostname or ""]
        return [
            address["address"]
            for node in sorted(nodes, key=_workers_last)
            for address in node["status"].get("addresses", [])
            if address["type"] in {"InternalIP", "ExternalIP"}
        ]


def _workers_last(node: dict[str, dict[str, dict[str, str]]]) -> bool:
    return "node-role.kubernetes.io/control-plane" not in node["metadata"].get("labels", {})


def _dial(address: str) -> bool:
    try:
        socket.create_connection((address, KUBELET_PORT), DIAL_SECONDS).close()
    except OSError:
        return False
    return True

"""A kind cluster as the rest of the harness sees it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from harness.cluster.api import KubeApi
from harness.cluster.kind import commands as kind
from harness.cluster.kind.config import LOOPBACK, OURS
from harness.cluster.kind.images import NodeImages
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.kubeconfig import KubeconfigCluster
from harness.cluster.protocol import NODE_CONTROL, Address, Capability, Provider
from harness.cluster.resources import NODES
from harness.errors import ApiError, CapabilityMissing, ClusterBroken

CONTEXT_PREFIX = "kind-"


class KindCluster(KubeconfigCluster):
    """A kind cluster, of ours or not. Without ``images`` its nodes are given the harness's own, if they are here."""

    provider: Provider = "kind"

    def __init__(self, api: KubeApi, kubeconfig: Path | None, context: str, images: str = "") -> None:
        super().__init__(api, kubeconfig, context, images)
        self._images_of_nodes = NodeImages(self.name)

    @property
    def name(self) -> str:
        return self.context.removeprefix(CONTEXT_PREFIX)

    def capabilities(self) -> frozenset[Capability]:
        found = super().capabilities()
        if self._is_here:
            found |= {Capability.LOCAL_IMAGES}
        if self._published:
            found |= {Capability.LOAD_BALANCED_SERVICE}
        try:
            return found | NODE_CONTROL if self._containers_are_here() else found
        except ClusterBroken:
            # No runtime on this machine, or none that answers.
            return found

    def node_port(self, port: int) -> Address:
        """The control plane's own address where it can be dialled (Linux), with no proxy between; else as published."""
        return Address(self._reachable_node(), port) if self._reachable_node() else self.loopback(port)

    def loopback(self, port: int) -> Address:
        if port in self._published:
            return Address(LOOPBACK, self._published[port])
        if self._reachable_node():
            return Address(self._reachable_node(), port)
        raise CapabilityMissing(
            f"the nodes of {self.name} cannot be dialled from here, nor do they publish port {port}"
        )

    def nodes(self) -> KindNodes:
        if not self._containers_are_here():
            raise CapabilityMissing(f"the containers of the nodes of {self.name} are not to be seen from here")
        return KindNodes()

    def image(self, name: str) -> str:
        # A source that was named is meant, also where the nodes could be given the harness's own.
        return super().image(name) if self._images or not self._is_here else self._images_of_nodes.reference(name)

    @cached_property
    def is_ours(self) -> bool:
        """Whether the harness made it, in this run or in one that kept it. Raises ApiError."""
        try:
            return any(
                OURS.items() <= node["metadata"].get("labels", {}).items() for node in self.api.list(NODES).items
            )
        except ApiError as error:
            if error.status == 403:
                return False
            raise

    @cached_property
    def _is_here(self) -> bool:
        try:
            return bool(kind.node_containers(self.name))
        except ClusterBroken:
            return False

    @cached_property
    def _published(self) -> dict[int, int]:
        try:
            return kind.published_ports(self.name)
        except ClusterBroken:
            # A kubeconfig of a kind cluster on another machine, whose containers are not ours to look at.
            return {}

    def _containers_are_here(self) -> bool:
        """Whether this machine's container runtime has a container for every node of the API. Raises ClusterBroken."""
        try:
            nodes = {node["metadata"]["name"] for node in self.api.list(NODES).items}
        except ApiError as error:
            if error.status == 403:
                return False
            raise
        return bool(nodes) and nodes <= kind.node_containers(self.name)

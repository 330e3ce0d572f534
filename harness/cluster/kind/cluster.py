"""The Cluster implementation for kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from platform import machine

from harness.cluster.external.cluster import KubeconfigCluster
from harness.cluster.images import HarnessImages, ImageOptions, ImageSource
from harness.cluster.kind import commands as kind
from harness.cluster.kind.config import LOOPBACK
from harness.cluster.kind.images import NodeImages
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.kind.user_images import ImagesToLoad
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.ownership import Ownership, ownership_by_label
from harness.cluster.kube.resources import NODES
from harness.cluster.local import images
from harness.cluster.local.supply.archives import this_platform
from harness.cluster.local.supply.given import GivenImages
from harness.cluster.protocol import NODE_CONTROL, Address, Capability, Provider
from harness.common.errors import ApiError, CapabilityMissing, ClusterBroken
from harness.common.progress import Progress

CONTEXT_PREFIX = "kind-"


class KindCluster(KubeconfigCluster):
    """A kind cluster, owned or foreign. Without ``images``, the harness loads its images into nodes on this machine."""

    provider: Provider = "kind"

    def __init__(self, api: KubeApi, kubeconfig: Path | None, context: str, images: str = "") -> None:
        super().__init__(api, kubeconfig, context, images)
        self._images_of_nodes = NodeImages(self.name)
        self._loader: ImagesToLoad | None = None

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
            # No container runtime on this machine, or it does not answer.
            return found

    def node_port(self, port: int) -> Address:
        """Return a node's address if this machine can dial it (Linux), without a proxy; else the published port."""
        return Address(self._reachable_node(), port) if self._reachable_node() else self.loopback(port)

    def loopback(self, port: int) -> Address:
        if port in self._published:
            return Address(LOOPBACK, self._published[port])
        if self._reachable_node():
            return Address(self._reachable_node(), port)
        raise CapabilityMissing(
            f"the nodes of {self.name} cannot be dialled from this machine and do not publish port {port}"
        )

    def nodes(self) -> KindNodes:
        if not self._containers_are_here():
            raise CapabilityMissing(f"this machine's container runtime has no containers for the nodes of {self.name}")
        return KindNodes()

    def image(self, name: str) -> str:
        # --images takes precedence, even if images could be loaded into the nodes.
        if self._images or not self._is_here or not self._builds_images:
            return super().image(name)
        return self._images_of_nodes.reference(name)

    def use_images(self, options: ImageOptions) -> None:
        super().use_images(options)
        self._loader = None

    def image_source(self, reference: str) -> ImageSource:
        return self._images_to_load.source(reference) if self._is_here else super().image_source(reference)

    def bring_images(
        self, references: Sequence[str], progress: Progress, present: Collection[str] = frozenset()
    ) -> None:
        # Whatever is loaded is on every node.
        del present
        if self._is_here:
            self._images_to_load.bring(references, progress)

    @property
    def _images_to_load(self) -> ImagesToLoad:
        if self._loader is None:
            self._loader = ImagesToLoad(self.name, GivenImages(self._options.load), self._platform())
        return self._loader

    @property
    def _builds_images(self) -> bool:
        if self._options.harness is HarnessImages.AUTO:
            # Without a build from before, it would need Go and minutes: the nodes pull the published images instead.
            return images.were_built()
        return self._options.harness is HarnessImages.BUILD

    def _platform(self) -> str:
        """Return the platform of the nodes; that of this machine if the nodes may not be listed."""
        try:
            nodes = self.api.list(NODES).items
        except ApiError as error:
            if error.status != 403:
                raise
            nodes = []
        found = (str(node.get("status", {}).get("nodeInfo", {}).get("architecture", "")) for node in nodes)
        return f"linux/{first}" if (first := next(filter(None, found), "")) else this_platform(machine())

    def no_runner_image(self) -> str:
        return "" if self._is_here else super().no_runner_image()

    def runner_image(self, progress: Progress) -> str:
        # --images takes precedence, as for the other images.
        if self._images or not self._is_here:
            return super().runner_image(progress)
        return self._images_of_nodes.runner(progress)

    @cached_property
    def ownership(self) -> Ownership:
        """Owned if the harness created it, in this run or in an earlier one that kept it. Raises ApiError."""
        return ownership_by_label(self.api)

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
            # The kind cluster may be on another machine, whose containers cannot be inspected from here.
            return {}

    def _containers_are_here(self) -> bool:
        """Return whether this machine's container runtime has a container for every node. Raises ClusterBroken."""
        try:
            nodes = {node["metadata"]["name"] for node in self.api.list(NODES).items}
        except ApiError as error:
            # Nodes are not namespaced: a user with rights in namespaces only may not list them.
            if error.status == 403:
                return False
            raise
        return bool(nodes) and nodes <= kind.node_containers(self.name)

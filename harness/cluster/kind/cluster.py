"""A kind cluster as the rest of the harness sees it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from harness.cluster.api import KubeApi
from harness.cluster.kind import commands as kind
from harness.cluster.kind.config import LOOPBACK
from harness.cluster.kind.nodes import KindNodes
from harness.cluster.kubeconfig import KubeconfigCluster
from harness.cluster.local import binaries, images
from harness.cluster.local.archive import write_archive
from harness.cluster.local.images import ImageSet
from harness.cluster.local.progress import Lines
from harness.cluster.protocol import Address, Capability, Provider
from harness.errors import CapabilityMissing, ClusterBroken

CONTEXT_PREFIX = "kind-"


class KindCluster(KubeconfigCluster):
    """A kind cluster, of ours or not."""

    provider: Provider = "kind"

    def __init__(self, api: KubeApi, kubeconfig: Path | None, context: str) -> None:
        super().__init__(api, kubeconfig, context)
        self._images_made: ImageSet | None = None

    @property
    def name(self) -> str:
        return self.context.removeprefix(CONTEXT_PREFIX)

    def capabilities(self) -> frozenset[Capability]:
        found = super().capabilities() | {Capability.LOCAL_IMAGES}
        return frozenset(found | {Capability.LOAD_BALANCED_SERVICE}) if self._published else frozenset(found)

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

    @property
    def nodes(self) -> KindNodes:
        """The power, the network and the services of its nodes."""
        return KindNodes()

    def image(self, name: str) -> str:
        if self._images_made is None:
            if not images.BUSYBOX.exists():
                raise CapabilityMissing(f"the images of the harness need {images.BUSYBOX} (Debian: busybox-static)")
            # Programs and images only: what else a local cluster needs of a machine, root among it, kind does not.
            folder = images.ensure(binaries.ensure(Lines()), Lines())
            made = ImageSet(folder)
            kind.load_images(self.name, write_archive(made, folder, folder / "images.tar"))
            self._images_made = made
        return self._images_made.reference(name)

    @cached_property
    def _published(self) -> dict[int, int]:
        try:
            return kind.published_ports(self.name)
        except ClusterBroken:
            # A kubeconfig of a kind cluster on another machine, whose containers are not ours to look at.
            return {}

"""A cluster from a kubeconfig: the harness did not create it and never deletes it."""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.capabilities import served_by_api
from harness.cluster.components import COMPONENTS, ON_DEMAND, OWN, versions
from harness.cluster.images import PUBLISHED, HarnessImages, ImageOptions, ImageSource
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.flags import flags_of_pods
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import NODES
from harness.cluster.nodes.control import NodeControl
from harness.cluster.protocol import Address, Capability, Provider
from harness.common.errors import ApiError, CapabilityMissing, InputError, Problem
from harness.common.progress import Progress

# The default port of kubelets.
KUBELET_PORT = 10250
DIAL_SECONDS = 1.0


class KubeconfigCluster:
    """A cluster by its kubeconfig context. ``images`` is the registry prefix where it finds the harness's images.

    ``inside``: this process runs in one of its pods.
    """

    provider: Provider = "kubeconfig"

    def __init__(
        self, api: KubeApi, kubeconfig: Path | None, context: str, images: str = "", *, inside: bool = False
    ) -> None:
        self._api = api
        self.inside = inside
        self._kubeconfig = kubeconfig
        self._context = context
        self._images = images.rstrip("/")
        self._options = ImageOptions()
        self._node: str | None = None

    @property
    def ownership(self) -> Ownership:
        """Foreign, whatever its context is called."""
        return Ownership.FOREIGN

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
        # Nothing on this machine shows whether pods of a foreign cluster can reach it.
        return None

    def image(self, name: str) -> str:
        if self._images:
            return f"{self._images}/{name}:{versions((*COMPONENTS, *OWN, *ON_DEMAND)).get(name, 'latest')}"
        if self._options.harness is HarnessImages.BUILD or name not in PUBLISHED:
            raise CapabilityMissing(
                f"this cluster has no source for the image {name}: push the harness's images to your registry "
                "and set --images to its address, or on kind set --harness-images=build"
            )
        return PUBLISHED[name]

    def no_runner_image(self) -> str:
        if self._images:
            return ""
        return (
            "this cluster has no source for the image of the load generator: build it with "
            "harness/cluster/runner/Containerfile, push it to your registry, and set --runner-image"
        )

    def runner_image(self, progress: Progress) -> str:
        del progress
        if why_not := self.no_runner_image():
            raise CapabilityMissing(why_not)
        return f"{self._images}/runner:latest"

    def use_images(self, options: ImageOptions) -> None:
        self._options = options

    def image_source(self, reference: str) -> ImageSource:
        if self._options.load:
            message = "the harness cannot load images into the nodes of this cluster: push them to a registry"
            raise InputError([Problem(message, field=f"--load-image {', '.join(self._options.load)}")])
        # Only a pull shows whether the nodes can reach a registry and have the credentials for it.
        return ImageSource(reference, "pulled by the nodes")

    def bring_images(
        self, references: Sequence[str], progress: Progress, present: Collection[str] = frozenset()
    ) -> None:
        """Do nothing: the nodes pull."""

    def nodes(self) -> NodeControl:
        raise CapabilityMissing(f"the harness does not control the node machines of {self.name}")

    def flags(self, component: str) -> Mapping[str, str]:
        return flags_of_pods(self._api, component)

    def close(self) -> None:
        self._api.close()

    def _reachable_node(self) -> str:
        """Return a node's address that this machine can dial, or an empty string.

        Control planes come first: the load must not depend on a worker that an experiment may stop. The address is
        tried on the kubelet's port, which is open on every node.
        """
        if self._node is None:
            self._node = next((address for address in self._addresses() if _dial(address)), "")
        return self._node

    def _addresses(self) -> list[str]:
        try:
            nodes = self._api.list(NODES).items
        except ApiError as error:
            if error.status != 403:
                raise
            # On small clusters the API server runs on a node. If the address is a load balancer's, the dial fails.
            return [urlsplit(self._api.server).hostname or ""]
        return [
            address["address"]
            for node in sorted(nodes, key=_workers_last)
            for address in node["status"].get("addresses", [])
            # Host names are left out: they often resolve only within the cluster's own network.
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

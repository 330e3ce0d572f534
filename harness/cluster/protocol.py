"""The interface of a cluster, the same for every provider.

A cluster is a kubeconfig, its API, and the few things that the API cannot do: reach a Service from this machine, run
the load generator without a proxy in the measured path, and provide local images. What only some clusters can do is a
Capability; an experiment that requires a missing one is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from harness.cluster.images import ImageOptions, ImageSource
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.ownership import Ownership
from harness.cluster.nodes.control import NodeControl
from harness.common.progress import Progress

Provider = Literal["local", "kind", "kubeconfig", "fake"]


class Capability(StrEnum):
    """An ability that only some clusters have."""

    LOAD_BALANCED_SERVICE = "reach a NodePort Service from the load generator"
    LOCAL_IMAGES = "provide images that are in no registry"
    METRICS_SERVER = "serve metrics.k8s.io"
    EXTERNAL_METRICS = "serve external.metrics.k8s.io"
    CUSTOM_METRICS = "serve custom.metrics.k8s.io (with prometheus-adapter, for example)"
    DYNAMIC_VOLUMES = "provision volumes from a default StorageClass"
    SCRAPE_LOAD = "scrape the load generator from Prometheus"
    NODE_POWER = "switch nodes off and on, and freeze them"
    NODE_NETWORK = "cut nodes off the network"
    NODE_SERVICES = "stop the services of a node"

    @property
    def label(self) -> str:
        """The name in files and records: node-power."""
        return self.name.lower().replace("_", "-")


NODE_CONTROL = frozenset({Capability.NODE_POWER, Capability.NODE_NETWORK, Capability.NODE_SERVICES})


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to dial; the method that returns it documents from where it can be reached."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Cluster(Protocol):
    """A cluster that experiments can run on. ``harness.engine.choose_cluster`` creates it; the caller closes it."""

    @property
    def provider(self) -> Provider:
        """How the cluster was made or found."""

    @property
    def ownership(self) -> Ownership:
        """Whether the harness made the cluster. Determined at the first access, which may raise ApiError, and kept."""

    @property
    def name(self) -> str:
        """The cluster's name; for a kubeconfig cluster, the name of the context."""

    @property
    def context(self) -> str:
        """The kubeconfig context."""

    @property
    def kubeconfig(self) -> Path | None:
        """The kubeconfig file, or None for the default of the client."""

    @property
    def inside(self) -> bool:
        """Whether this process runs in a pod of the cluster, and so dials Services at their own addresses."""

    @property
    def api(self) -> KubeApi:
        """The API client of this cluster. Use one per thread: see ``KubeApi.clone``."""

    def capabilities(self) -> frozenset[Capability]:
        """Return what this cluster can do, found by querying it and not derived from its name."""

    def node_port(self, port: int) -> Address:
        """Return where the load generator dials to reach a Service's nodePort, outside the blast radius where possible.

        Raises CapabilityMissing when no node address can be dialled from this machine.
        """

    def loopback(self, port: int) -> Address:
        """Return where a process in this machine's network dials to reach a nodePort: 127.0.0.1 for owned clusters.

        Raises CapabilityMissing as ``node_port`` does.
        """

    def load_command(self) -> Sequence[str]:
        """Return the prefix of the load generator's command that starts it in the right network; may be empty."""

    def load_host(self) -> str | None:
        """Return the address for pods to reach a listener of the load generator; None if they cannot."""

    def image(self, name: str) -> str:
        """Return the reference under which this cluster pulls one of the harness's images, such as ``podinfo``.

        Raises CapabilityMissing when this cluster cannot get the image.
        """

    def no_runner_image(self) -> str:
        """Return why this cluster cannot get the load generator's image; empty if it can. Changes nothing."""

    def runner_image(self, progress: Progress) -> str:
        """Return the reference of the load generator's image, and make it available to the nodes, built if needed.

        Raises CapabilityMissing when this cluster cannot get the image, ClusterBroken.
        """

    def use_images(self, options: ImageOptions) -> None:
        """Set what the user chose for images. Called before any other method about images."""

    def image_source(self, reference: str) -> ImageSource:
        """Return where this cluster gets an image, or why it cannot; changes nothing.

        Raises ApiError, and InputError for a wrong archive or archives for nodes that load none.
        """

    def bring_images(
        self, references: Sequence[str], progress: Progress, present: Collection[str] = frozenset()
    ) -> None:
        """Bring images to where the nodes pull them or have them, and all of ``ImageOptions.load``.

        Those in ``present`` must be on every node before a pod starts (imagePullPolicy: Never).

        Raises InputError, ClusterBroken or CapabilityMissing with the reason.
        """

    def nodes(self) -> NodeControl:
        """Return the control over this cluster's node machines.

        Raises CapabilityMissing unless it has NODE_POWER, NODE_NETWORK and NODE_SERVICES.
        """

    def flags(self, component: str) -> Mapping[str, str]:
        """Return the command-line flags of ``kube-controller-manager``, ``metrics-server`` or ``kubelet``.

        Empty if they cannot be read, as on a cluster whose provider hides its control plane.
        """

    def close(self) -> None:
        """Close all connections; the cluster itself keeps running."""

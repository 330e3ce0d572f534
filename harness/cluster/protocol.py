"""What the harness asks of a cluster, whoever made it.

A cluster is a kubeconfig, its API, and the few things that the API cannot do: reach a Service from this machine, run
the load generator where no proxy of ours sits in the measured path, and bring local images. What only some clusters
can do is a Capability; an experiment that requires one that is missing is skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from harness.cluster.api import KubeApi
from harness.cluster.nodes import NodeControl

Provider = Literal["local", "kind", "kubeconfig", "fake"]


class Capability(StrEnum):
    """What a cluster may or may not be able to do."""

    LOAD_BALANCED_SERVICE = "reach a NodePort Service from the load generator"
    LOCAL_IMAGES = "bring images that no registry has"
    METRICS_SERVER = "serve metrics.k8s.io"
    DYNAMIC_VOLUMES = "provision volumes from a default StorageClass"
    SCRAPE_LOAD = "scrape the load generator from Prometheus"
    NODE_POWER = "switch nodes off and on, and freeze them"
    NODE_NETWORK = "cut nodes off the network"
    NODE_SERVICES = "stop the services of a node"


NODE_CONTROL = frozenset({Capability.NODE_POWER, Capability.NODE_NETWORK, Capability.NODE_SERVICES})


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port that can be dialled from where it is said to be."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Cluster(Protocol):
    """A cluster that experiments can run on. Made by ``harness.choosing``; closed by whoever asked for it."""

    @property
    def provider(self) -> Provider:
        """Who made it."""

    @property
    def name(self) -> str:
        """The cluster's own name; for a kubeconfig cluster, the context's."""

    @property
    def context(self) -> str:
        """The kubeconfig context."""

    @property
    def kubeconfig(self) -> Path | None:
        """The kubeconfig file, or None for the client's own default."""

    @property
    def api(self) -> KubeApi:
        """The API of this cluster. One per thread: see ``KubeApi.clone``."""

    def capabilities(self) -> frozenset[Capability]:
        """What this cluster can do, found out by asking it, not by its name."""

    def node_port(self, port: int) -> Address:
        """Where the load generator dials to reach a Service's nodePort, outside the blast radius where possible.

        Raises CapabilityMissing when no node address can be dialled from this machine.
        """

    def loopback(self, port: int) -> Address:
        """Where a process in this machine's own network dials to reach a nodePort: on 127.0.0.1 for clusters of ours.

        Raises CapabilityMissing as ``node_port`` does.
        """

    def load_command(self) -> Sequence[str]:
        """What to put before the load generator's command, so that it starts in the right network (may be empty)."""

    def load_host(self) -> str | None:
        """The address on which pods reach a listener of the load generator; None when they cannot."""

    def image(self, name: str) -> str:
        """The reference under which this cluster pulls one of the harness's own images, ``podinfo`` for instance.

        Raises CapabilityMissing when this cluster cannot get it.
        """

    def nodes(self) -> NodeControl:
        """What can be done to the machines below this cluster.

        Raises CapabilityMissing unless it has NODE_POWER, NODE_NETWORK and NODE_SERVICES.
        """

    def close(self) -> None:
        """Let go of connections; the cluster itself stays."""

"""The names and addresses in a local cluster. Pure: every process computes the same.

All addresses are from 198.18.0.0/15 (reserved by RFC 2544 for benchmarks) and exist only in the network namespaces of a
cluster, so all clusters use the same ones, without conflicts with each other or with the machine's networks.
"""

from __future__ import annotations

from dataclasses import dataclass

CLUSTER_CIDR = "198.18.64.0/18"
SERVICE_CIDR = "198.19.0.0/20"
# The API server gives the Service ``kubernetes`` the first address of the range.
API_SERVICE_ADDRESS = "198.19.0.1"
# The tenth address, as with kubeadm. It is fixed because kubelets write it to the pods' resolv.conf.
DNS_ADDRESS = "198.19.0.10"
CLUSTER_DOMAIN = "cluster.local"
SWITCH_ADDRESS = "198.18.0.1"
NODE_PREFIX_LENGTH = 24
# The default ports of kube-apiserver and of the distribution registry.
API_PORT = 6443
REGISTRY_PORT = 5000
REGION = "local"
CONTROL_PLANE = "control-plane"
SWITCH = "switch"
GATEWAY = "gateway"
# Third octets 64..127 of CLUSTER_CIDR, one /24 of pods for each node.
MAX_WORKERS = 20


@dataclass(frozen=True, slots=True)
class Node:
    """A node: ``role`` is its short name in paths and control groups, ``name`` its name in Kubernetes."""

    role: str
    name: str
    address: str
    pod_cidr: str
    gateway: str
    zone: str

    @property
    def is_control_plane(self) -> bool:
        return self.role == CONTROL_PLANE

    @property
    def link(self) -> str:
        """The name of the node's port on the switch."""
        return "control" if self.is_control_plane else self.role


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes of a cluster, the control plane first."""

    cluster: str
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, cluster: str, workers: int) -> Plan:
        """Return the plan of a cluster with one control plane and this many workers, each in a separate zone."""
        roles = [CONTROL_PLANE, *(f"worker-{number}" for number in range(1, workers + 1))]
        return cls(cluster, tuple(_node(cluster, role, index) for index, role in enumerate(roles)))

    @property
    def control_plane(self) -> Node:
        return self.nodes[0]

    @property
    def workers(self) -> tuple[Node, ...]:
        return self.nodes[1:]

    @property
    def registry(self) -> str:
        """The address of the cluster's image registry, for nodes."""
        return f"{self.control_plane.address}:{REGISTRY_PORT}"


def _node(cluster: str, role: str, index: int) -> Node:
    zone = "zone-control" if role == CONTROL_PLANE else f"zone-{chr(ord('a') + index - 1)}"
    pods = f"198.18.{64 + index}"
    return Node(role, f"{cluster}-{role}", f"198.18.0.{10 + index}", f"{pods}.0/24", f"{pods}.1", zone)

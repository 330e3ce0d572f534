"""Control over a cluster's node machines: their power, their network, and the kubelet and container runtime.

Only clusters whose nodes are containers or processes of this machine support it. Every method is idempotent, takes a
node by its name in Kubernetes, returns when the change is complete, and raises ClusterBroken when it failed. It works
from any process: the state of a node is read from the node, never kept in memory.

A node that is switched off loses what it had in memory: its mounts and its firewall rules, including those of a
cut-off. Its disk is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

PowerState = Literal["running", "paused", "stopped"]
Service = Literal["kubelet", "containerd"]
SERVICES: tuple[Service, ...] = ("kubelet", "containerd")
Matters = Literal["new", "gone", "both"]
# A setting below /proc/sys: for how many seconds the kernel keeps the connection-tracking entry of a connection that a
# lost pod never answered, by default 120. All load comes from one address, which reuses its source ports sooner, and
# NodePorts are few: a new connection, even of a later experiment, would match the old entry and go to the lost pod.
UNANSWERED, UNANSWERED_SECONDS = "net/netfilter/nf_conntrack_tcp_timeout_syn_sent", 10


@dataclass(frozen=True, slots=True)
class Trace:
    """One fact about a machine. ``matters`` is which change counts as damage: appearing, disappearing, or both.

    ``namespace`` is that of the pod concerned, empty if it concerns no pod.
    """

    text: str
    matters: Matters = "both"
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class NodeTraces:
    """The state of a machine at one moment. A machine that is not running has nothing but its power state."""

    power: PowerState
    services: frozenset[Service] = frozenset()
    lines: frozenset[Trace] = frozenset()


class NodePower(Protocol):
    """The power of a node. Its processes end when it is switched off; after a pause they continue."""

    def power(self, node: str) -> PowerState:
        """Return the current state."""

    def stop(self, node: str) -> None:
        """Shut it down gracefully."""

    def kill(self, node: str) -> None:
        """Switch it off without a shutdown."""

    def start(self, node: str) -> None:
        """Switch it on."""

    def restart(self, node: str) -> None:
        """Shut it down gracefully and switch it on again."""

    def pause(self, node: str) -> None:
        """Freeze every process on it. The kernel keeps running: connections are accepted but not answered."""

    def resume(self, node: str) -> None:
        """Continue all frozen processes."""


class NodeNetwork(Protocol):
    """The network between a node, including its pods, and everything outside the node."""

    def is_cut_off(self, node: str) -> bool:
        """Return whether it is cut off now."""

    def cut_off(self, node: str) -> None:
        """Drop all packets in both directions without an error to the sender, as a broken switch would."""

    def reconnect(self, node: str) -> None:
        """Pass packets again as before."""


class NodeServices(Protocol):
    """The kubelet and the container runtime of a node."""

    def is_active(self, node: str, service: Service) -> bool:
        """Return whether the service runs now."""

    def stop_service(self, node: str, service: Service) -> None:
        """Stop the service; pods keep running without it."""

    def start_service(self, node: str, service: Service) -> None:
        """Start the service."""


class NodeControl(NodePower, NodeNetwork, NodeServices, Protocol):
    """Everything that can be done to the nodes of one cluster, and the check for leftovers on them."""

    @property
    def outlive_run(self) -> bool:
        """Whether the machines still exist, and faults on them can be undone, after the run's process has died."""

    def traces(self, node: str) -> NodeTraces:
        """Return the state of the machine, to compare with a later one. Changes nothing and takes under a second."""

"""What can be done to the machines below a cluster: their power, their network, and the services that make them nodes.

Only clusters of ours, whose nodes are containers or processes here, can do it. Every method may be repeated, takes a
node by its name in Kubernetes, returns when it has happened, and raises ClusterBroken when it did not. It works from
any process: what was done to a node is read from the node, never remembered.

A node that is switched off loses what it had in memory: its mounts, its firewall rules and with them a cut-off. What it
had on disk stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

PowerState = Literal["running", "paused", "stopped"]
Service = Literal["kubelet", "containerd"]
SERVICES: tuple[Service, ...] = ("kubelet", "containerd")
Matters = Literal["new", "gone", "both"]
# What nodes' kernels are told below /proc/sys: for how many seconds to remember a connection that a lost pod never
# answered, by default 120. All load is from one address, whose ports come round sooner, and NodePorts are few: a new
# connection, of a later experiment too, would be taken for the old one and go to the lost pod again.
UNANSWERED, UNANSWERED_SECONDS = "net/netfilter/nf_conntrack_tcp_timeout_syn_sent", 10


@dataclass(frozen=True, slots=True)
class Trace:
    """One fact about a machine. ``matters``: whether it is damage when it comes, when it goes, or either.

    ``namespace`` is that of the pod that it is about, empty when it is about none.
    """

    text: str
    matters: Matters = "both"
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class NodeTraces:
    """A machine at one moment. One that does not run shows its power and nothing else."""

    power: PowerState
    services: frozenset[Service] = frozenset()
    lines: frozenset[Trace] = frozenset()


class NodePower(Protocol):
    """The power of a node. What ran on it goes with it, save for a pause, after which it goes on."""

    def power(self, node: str) -> PowerState:
        """How it is now."""

    def stop(self, node: str) -> None:
        """Shut it down in order."""

    def kill(self, node: str) -> None:
        """Take its power away."""

    def start(self, node: str) -> None:
        """Switch it on again."""

    def restart(self, node: str) -> None:
        """Shut it down in order and switch it on again."""

    def pause(self, node: str) -> None:
        """Freeze every process on it. Its kernel lives on: connections are accepted, and nobody answers."""

    def resume(self, node: str) -> None:
        """Let it go on."""


class NodeNetwork(Protocol):
    """The network of a node, and of the pods on it, towards everything outside of the node."""

    def is_cut_off(self, node: str) -> bool:
        """Whether it is cut off now."""

    def cut_off(self, node: str) -> None:
        """Let nothing in or out, without a word: what was sent is lost, as by a broken switch."""

    def reconnect(self, node: str) -> None:
        """Let everything through again, as it was before."""


class NodeServices(Protocol):
    """The services that make a machine a node."""

    def is_active(self, node: str, service: Service) -> bool:
        """Whether it runs now."""

    def stop_service(self, node: str, service: Service) -> None:
        """Stop it; pods go on without it."""

    def start_service(self, node: str, service: Service) -> None:
        """Start it again."""


class NodeControl(NodePower, NodeNetwork, NodeServices, Protocol):
    """All that can be done to the nodes of one cluster, and what it could leave behind."""

    def traces(self, node: str) -> NodeTraces:
        """How its machine is, for a comparison with later: changes nothing, and takes a fraction of a second."""

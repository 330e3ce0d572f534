"""What can be done to the nodes of a local cluster: their power, their network and their services (a NodeControl).

Whatever changes which processes there are holds the cluster's lock, as ``up`` and ``down`` do: a node that comes back
while its cluster is being removed would leave something behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.clock import Clock
from harness.cluster.local.locks import locked
from harness.cluster.local.node_machine import NodeMachine
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import Node
from harness.cluster.local.state import ClusterState
from harness.cluster.nodes import NodeTraces, PowerState, Service
from harness.errors import ClusterBroken

LOCK_SECONDS = 60.0


class LocalNodes:
    """The nodes of the cluster of this name, as they are at each call, whoever changed them last."""

    def __init__(self, cluster: str, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock

    def power(self, node: str) -> PowerState:
        return self._machine(node).power()

    def stop(self, node: str) -> None:
        with self._alone():
            self._worker(node).shut_down()

    def kill(self, node: str) -> None:
        with self._alone():
            self._worker(node).cut_power()

    def start(self, node: str) -> None:
        with self._alone():
            self._worker(node).switch_on()

    def restart(self, node: str) -> None:
        with self._alone():
            machine = self._worker(node)
            machine.shut_down()
            machine.switch_on()

    def pause(self, node: str) -> None:
        with self._alone():
            self._worker(node).freeze()

    def resume(self, node: str) -> None:
        with self._alone():
            self._worker(node).thaw()

    def is_cut_off(self, node: str) -> bool:
        return self._machine(node).is_cut_off()

    def cut_off(self, node: str) -> None:
        with self._alone():
            self._machine(node).cut_off()

    def reconnect(self, node: str) -> None:
        with self._alone():
            self._machine(node).reconnect()

    def is_active(self, node: str, service: Service) -> bool:
        return self._machine(node).runs(service)

    def stop_service(self, node: str, service: Service) -> None:
        with self._alone():
            self._machine(node).end_program(service)

    def start_service(self, node: str, service: Service) -> None:
        with self._alone():
            self._machine(node).start_program(service)

    def traces(self, node: str) -> NodeTraces:
        if all(node != each.name for each in self._state().plan.nodes):
            # An object in the API without a machine of this cluster: there is nothing to look at.
            return NodeTraces("stopped")
        return self._machine(node).traces()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        waiting = f"another process is busy with the cluster {self._cluster}"
        with locked(f"cluster-{self._cluster}", lambda _message: None, waiting, LOCK_SECONDS):
            yield

    def _worker(self, name: str) -> NodeMachine:
        node = self._node(name)
        if node.is_control_plane:
            # The gateway lives by its network, etcd and the registry by its memory: the cluster would be gone, not hit.
            raise ClusterBroken(f"{name} is the control plane's node, whose power is that of the whole cluster")
        return self._machine(name)

    def _machine(self, name: str) -> NodeMachine:
        node = self._node(name)
        return NodeMachine(self._state(), ClusterPaths.of(self._cluster), node, self._clock)

    def _node(self, name: str) -> Node:
        nodes = self._state().plan.nodes
        for node in nodes:
            if node.name == name:
                return node
        raise ClusterBroken(f"the cluster {self._cluster} has no node {name}, only {_listed(nodes)}")

    def _state(self) -> ClusterState:
        # Read each time: the cluster may have been taken down, or made anew with other nodes.
        state = ClusterState.load(ClusterPaths.of(self._cluster))
        if state is None:
            raise ClusterBroken(f"the cluster {self._cluster} is gone, and its nodes with it")
        return state


def _listed(nodes: Sequence[Node]) -> str:
    return ", ".join(node.name for node in nodes)

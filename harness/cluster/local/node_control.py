"""Control over the nodes of a local cluster: their power, their network and their services (a NodeControl).

Every call that starts or ends processes holds the cluster's lock, like ``up`` and ``down``: a node that is started
while its cluster is being removed would leave leftovers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness.cluster.local.locks import locked
from harness.cluster.local.node_machine import NodeMachine
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import Node
from harness.cluster.local.state import ClusterState
from harness.cluster.nodes.control import NodeTraces, PowerState, Service
from harness.common.clock import Clock
from harness.common.errors import ClusterBroken

LOCK_SECONDS = 60.0


class LocalNodes:
    """The nodes of the cluster of this name. Each call reads their current state."""

    def __init__(self, cluster: str, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock

    @property
    def outlive_run(self) -> bool:
        return True

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
            # A Node object without a machine in this cluster: there is nothing to read.
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
            # The gateway needs its network, etcd and the registry its memory: the whole cluster would be lost.
            raise ClusterBroken(f"{name} is the control plane's node: switching it off would end the whole cluster")
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
        # Read each time: the cluster may have been removed, or recreated with other nodes.
        state = ClusterState.load(ClusterPaths.of(self._cluster))
        if state is None:
            raise ClusterBroken(f"the cluster {self._cluster} is gone, and its nodes with it")
        return state


def _listed(nodes: Sequence[Node]) -> str:
    return ", ".join(node.name for node in nodes)

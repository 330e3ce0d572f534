"""The node machines of the fake cluster: every change appears in the Node objects at once, without a grace period.

Every action is recorded among the API's calls, as ``NODE /stop/node-1``.
"""

from __future__ import annotations

from harness.cluster.fake.server import Call, FakeApiServer
from harness.cluster.kube.client import Object
from harness.cluster.kube.resources import NODES
from harness.cluster.nodes.control import SERVICES, NodeTraces, PowerState, Service, Trace
from harness.common.errors import ApiError, ClusterBroken

METHOD = "NODE"


class FakeNodes:
    """A NodeControl in memory. Tests use ``states``, ``cut``, ``stopped`` and ``left`` (further traces on a node)."""

    def __init__(self, server: FakeApiServer) -> None:
        self._server = server
        # The machines are in the memory of this process.
        self.outlive_run = False
        self.states: dict[str, PowerState] = {}
        self.cut: set[str] = set()
        self.stopped: set[tuple[str, Service]] = set()
        self.left: dict[str, set[Trace]] = {}

    @property
    def broken(self) -> set[str]:
        """The nodes that are off, cut off, or without one of their services."""
        off = {node for node, state in self.states.items() if state != "running"}
        return off | self.cut | {node for node, _ in self.stopped}

    def power(self, node: str) -> PowerState:
        self._check(node)
        return self.states.get(node, "running")

    def stop(self, node: str) -> None:
        self._do("stop", node)
        self._set(node, "stopped")

    def kill(self, node: str) -> None:
        self._do("kill", node)
        self._set(node, "stopped")

    def start(self, node: str) -> None:
        self._do("start", node)
        self._set(node, "running")

    def restart(self, node: str) -> None:
        self._do("restart", node)
        self._set(node, "stopped")
        self._set(node, "running")

    def pause(self, node: str) -> None:
        self._do("pause", node)
        self._set(node, "paused")

    def resume(self, node: str) -> None:
        self._do("resume", node)
        if self.power(node) == "paused":
            self._set(node, "running")

    def is_cut_off(self, node: str) -> bool:
        self._check(node)
        return node in self.cut

    def cut_off(self, node: str) -> None:
        self._do("cut-off", node)
        self.cut.add(node)
        self._update_ready(node)

    def reconnect(self, node: str) -> None:
        self._do("reconnect", node)
        self.cut.discard(node)
        self._update_ready(node)

    def is_active(self, node: str, service: Service) -> bool:
        return self.power(node) == "running" and (node, service) not in self.stopped

    def stop_service(self, node: str, service: Service) -> None:
        self._do(f"stop-{service}", node)
        self.stopped.add((node, service))
        self._update_ready(node)

    def start_service(self, node: str, service: Service) -> None:
        self._do(f"start-{service}", node)
        self.stopped.discard((node, service))
        self._update_ready(node)

    def traces(self, node: str) -> NodeTraces:
        power = self.power(node)
        if power != "running":
            return NodeTraces(power)
        active = frozenset(service for service in SERVICES if self.is_active(node, service))
        cut = {Trace("iptables raw -A PREROUTING -j DROP")} if node in self.cut else set()
        return NodeTraces(power, active, frozenset(cut | self.left.get(node, set())))

    def _do(self, action: str, node: str) -> None:
        self._check(node)
        self._server.admit(Call(METHOD, f"/{action}/{node}", {}))

    def _check(self, node: str) -> None:
        try:
            self._server.store.get(NODES, "", node)
        except ApiError as error:
            raise ClusterBroken(f"there is no node {node}") from error

    def _set(self, node: str, state: PowerState) -> None:
        if state == "stopped":
            # Firewall rules and stopped services do not survive a loss of power.
            self.cut.discard(node)
            self.stopped -= {(node, "kubelet"), (node, "containerd")}
        self.states[node] = state
        self._update_ready(node)

    def _update_ready(self, node: str) -> None:
        # The node controller sets Ready to Unknown, and not to False, for a kubelet that does not report.
        status = "Unknown" if node in self.broken else "True"

        def change(item: Object) -> Object:
            others = [each for each in item.get("status", {}).get("conditions", ()) if each["type"] != "Ready"]
            ready = {"type": "Ready", "status": status, "lastTransitionTime": self._server.store.now()}
            return {**item, "status": {**item.get("status", {}), "conditions": [*others, ready]}}

        self._server.store.update(NODES, "", node, change, "status")

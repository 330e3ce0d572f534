"""kind's nodes: containers, whose power is the container runtime's, and whose services are systemd's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.cluster import drop_rules, node_traces
from harness.cluster.kind import commands, node_look
from harness.cluster.nodes import NodeTraces, PowerState, Service
from harness.errors import ClusterBroken

# Orderly, as kubelet's pods may take their grace period; the runtime kills what is left then.
STOP_SECONDS = 30
SECONDS = 90.0
_STATES: dict[str, PowerState] = {"running": "running", "paused": "paused", "exited": "stopped", "created": "stopped"}


class KindNodes:
    """The power, the network and the services of one cluster's nodes (NodePower, NodeNetwork, NodeServices)."""

    def power(self, node: str) -> PowerState:
        said = self._runtime("inspect", "--format", "{{.State.Status}}", node).strip()
        if said not in _STATES:
            raise ClusterBroken(f"node {node} is {said!r}, expected one of {', '.join(_STATES)}")
        return _STATES[said]

    def stop(self, node: str) -> None:
        self._runtime("stop", "-t", str(STOP_SECONDS), node)

    def kill(self, node: str) -> None:
        if self.power(node) != "stopped":
            self._runtime("kill", node)

    def start(self, node: str) -> None:
        self._runtime("start", node)

    def restart(self, node: str) -> None:
        self._runtime("restart", "-t", str(STOP_SECONDS), node)

    def pause(self, node: str) -> None:
        if self.power(node) != "paused":
            self._runtime("pause", node)

    def resume(self, node: str) -> None:
        if self.power(node) == "paused":
            self._runtime("unpause", node)

    def is_cut_off(self, node: str) -> bool:
        return drop_rules.are_set(partial(self._inside, node))

    def cut_off(self, node: str) -> None:
        # A node that was taken off its network and put back has another link than eth0.
        route = self._inside(node, ["ip", "route", "show", "default"]).split()
        if "dev" not in route:
            raise ClusterBroken(f"node {node} has no default route, so its link to the others is not known")
        drop_rules.insert(partial(self._inside, node), route[route.index("dev") + 1])

    def reconnect(self, node: str) -> None:
        drop_rules.remove(partial(self._inside, node))

    def is_active(self, node: str, service: Service) -> bool:
        # `is-active` says no by its exit code, which is also that of a node that cannot be asked.
        shown = self._inside(node, ["systemctl", "show", "--property=ActiveState", "--value", service])
        return shown.strip() == "active"

    def stop_service(self, node: str, service: Service) -> None:
        self._inside(node, ["systemctl", "stop", service])

    def start_service(self, node: str, service: Service) -> None:
        self._inside(node, ["systemctl", "start", service])

    def traces(self, node: str) -> NodeTraces:
        try:
            # One call, since each takes a runtime a tenth of a second.
            said = self._inside(node, ["sh", "-c", node_look.SCRIPT])
        except ClusterBroken:
            power = self.power(node)
            if power == "running":
                raise
            return NodeTraces(power)
        shown = node_traces.sections(said)
        return NodeTraces("running", node_look.services(shown), node_look.lines(shown))

    def _inside(self, node: str, command: Sequence[str]) -> str:
        return self._runtime("exec", node, *command)

    def _runtime(self, *arguments: str) -> str:
        return commands.run([commands.runtime(), *arguments], SECONDS)

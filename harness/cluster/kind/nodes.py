"""Control over kind's nodes: containers, switched by the container runtime, with services run by systemd."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.cluster.kind import commands, node_look
from harness.cluster.nodes import drop_rules, traces
from harness.cluster.nodes.control import NodeTraces, PowerState, Service
from harness.common.errors import ClusterBroken

# Time for a graceful shutdown, since pods may use their grace period; after it the runtime kills what is left.
STOP_SECONDS = 30
SECONDS = 90.0
_STATES: dict[str, PowerState] = {"running": "running", "paused": "paused", "exited": "stopped", "created": "stopped"}


class KindNodes:
    """The power, the network and the services of one cluster's nodes (NodePower, NodeNetwork, NodeServices)."""

    @property
    def outlive_run(self) -> bool:
        return True

    def power(self, node: str) -> PowerState:
        state = self._runtime("inspect", "--format", "{{.State.Status}}", node).strip()
        if state not in _STATES:
            raise ClusterBroken(f"node {node} is {state!r}, expected one of {', '.join(_STATES)}")
        return _STATES[state]

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
        # The link is not always eth0: its name changes when the container is reconnected to its network.
        route = self._inside(node, ["ip", "route", "show", "default"]).split()
        if "dev" not in route:
            raise ClusterBroken(f"node {node} has no default route, so its link to the other nodes is unknown")
        drop_rules.insert(partial(self._inside, node), route[route.index("dev") + 1])

    def reconnect(self, node: str) -> None:
        drop_rules.remove(partial(self._inside, node))

    def is_active(self, node: str, service: Service) -> bool:
        # Not `is-active`: its exit code for "inactive" looks the same as a failed exec.
        shown = self._inside(node, ["systemctl", "show", "--property=ActiveState", "--value", service])
        return shown.strip() == "active"

    def stop_service(self, node: str, service: Service) -> None:
        self._inside(node, ["systemctl", "stop", service])

    def start_service(self, node: str, service: Service) -> None:
        self._inside(node, ["systemctl", "start", service])

    def traces(self, node: str) -> NodeTraces:
        try:
            # One call, since each exec takes the runtime about 0.1 s.
            output = self._inside(node, ["sh", "-c", node_look.SCRIPT])
        except ClusterBroken:
            power = self.power(node)
            if power == "running":
                raise
            return NodeTraces(power)
        shown = traces.sections(output)
        return NodeTraces("running", node_look.services(shown), node_look.lines(shown))

    def _inside(self, node: str, command: Sequence[str]) -> str:
        return self._runtime("exec", node, *command)

    def _runtime(self, *arguments: str) -> str:
        return commands.run([commands.runtime(), *arguments], SECONDS)

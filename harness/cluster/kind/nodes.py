"""kind's nodes: containers, whose power is the container runtime's, and whose services are systemd's."""

from __future__ import annotations

from harness.cluster.kind import commands
from harness.cluster.nodes import PowerState, Service
from harness.errors import ClusterBroken

# Orderly, as kubelet's pods may take their grace period; the runtime kills what is left then.
STOP_SECONDS = 30
SECONDS = 90.0
# Tells our rules from others, also for another process that takes them back.
MARK = "resilience-cut-off"
# Dropped before connections are tracked and after everything else, for the node and its pods alike. Addresses and
# routes stay, which a link that goes down or a network that is disconnected would lose.
_CHAINS = (("raw", "PREROUTING", "-i"), ("mangle", "POSTROUTING", "-o"))
_PROGRAMS = ("iptables", "ip6tables")
_STATES: dict[str, PowerState] = {"running": "running", "paused": "paused", "exited": "stopped", "created": "stopped"}


class KindNodes:
    """The power, the network and the services of one cluster's nodes (NodePower, NodeNetwork, NodeServices)."""

    def power(self, node: str) -> PowerState:
        said = self._runtime("inspect", "--format", "{{.State.Status}}", node).strip()
        if said not in _STATES:
            raise ClusterBroken(f"node {node} is {said!r}, expected one of {', '.join(_STATES)}")
        return _STATES[said]

    def stop(self, node: str) -> None:
        self._runtime("stop", "--time", str(STOP_SECONDS), node)

    def kill(self, node: str) -> None:
        if self.power(node) != "stopped":
            self._runtime("kill", node)

    def start(self, node: str) -> None:
        self._runtime("start", node)

    def restart(self, node: str) -> None:
        self._runtime("restart", "--time", str(STOP_SECONDS), node)

    def pause(self, node: str) -> None:
        if self.power(node) != "paused":
            self._runtime("pause", node)

    def resume(self, node: str) -> None:
        if self.power(node) == "paused":
            self._runtime("unpause", node)

    def is_cut_off(self, node: str) -> bool:
        return bool(self._ours(node, "iptables", *_CHAINS[0][:2]))

    def cut_off(self, node: str) -> None:
        # A node that was taken off its network and put back has another link than eth0.
        route = self._inside(node, "ip", "route", "show", "default").split()
        if "dev" not in route:
            raise ClusterBroken(f"node {node} has no default route, so its link to the others is not known")
        link = route[route.index("dev") + 1]
        for program in _PROGRAMS:
            for table, chain, direction in _CHAINS:
                if not self._ours(node, program, table, chain):
                    match = (direction, link, "-m", "comment", "--comment", MARK, "-j", "DROP")
                    self._inside(node, program, "--wait", "-t", table, "-I", chain, *match)

    def reconnect(self, node: str) -> None:
        for program in _PROGRAMS:
            for table, chain, _ in _CHAINS:
                for rule in self._ours(node, program, table, chain):
                    self._inside(node, program, "--wait", "-t", table, "-D", *rule.split()[1:])

    def is_active(self, node: str, service: Service) -> bool:
        # `is-active` says no by its exit code, which is also that of a node that cannot be asked.
        shown = self._inside(node, "systemctl", "show", "--property=ActiveState", "--value", service)
        return shown.strip() == "active"

    def stop_service(self, node: str, service: Service) -> None:
        self._inside(node, "systemctl", "stop", service)

    def start_service(self, node: str, service: Service) -> None:
        self._inside(node, "systemctl", "start", service)

    def _ours(self, node: str, program: str, table: str, chain: str) -> list[str]:
        listed = self._inside(node, program, "--wait", "-t", table, "-S", chain)
        return [line for line in listed.splitlines() if MARK in line.split()]

    def _inside(self, node: str, *command: str) -> str:
        return self._runtime("exec", node, *command)

    def _runtime(self, *arguments: str) -> str:
        return commands.run([commands.runtime(), *arguments], SECONDS)

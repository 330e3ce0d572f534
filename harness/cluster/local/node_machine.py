"""One node of a local cluster as a machine: switches it off and on, freezes it, starts and ends its programs.

When it is switched off, all of its processes end, including the holder of its namespaces, and with them its mounts and
firewall rules. Its disk is a folder, which is kept and used again when it is switched on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.cluster.local import cgroups, containerd, freezer, network, node_look, nodes
from harness.cluster.local.inventory import NODE_PROGRAMS, Inventory, programs_of
from harness.cluster.local.namespaces import HOLDER, READY, SYSTEM_GROUP, Namespaces, node_holder
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import SWITCH, Node
from harness.cluster.local.processes import run
from harness.cluster.local.state import ClusterState
from harness.cluster.nodes import drop_rules
from harness.cluster.nodes.control import SERVICES, NodeTraces, PowerState
from harness.cluster.nodes.traces import NETWORK_SCRIPT, parse_network, sections
from harness.common.clock import Clock
from harness.common.errors import ClusterBroken, TimedOut
from harness.common.waiting import wait_until

# Seconds until the processes of all pods, and each program, are killed if they do not end at a shutdown.
PODS_SECONDS = 30.0
PROGRAM_SECONDS = 10.0
START_SECONDS = 30.0
# A kubelet that cannot work ends within this time (measured: 0.1 s).
STEADY_SECONDS = 1.0
# The nodes have no IPv6.
FIREWALLS = (drop_rules.IPV4,)
# The kubelet's name of the group of all pods, below its root group.
PODS_GROUP = "kubepods"


class NodeMachine:
    """The machine of one node in a cluster's plan. Methods raise ClusterBroken."""

    def __init__(self, state: ClusterState, paths: ClusterPaths, node: Node, clock: Clock) -> None:
        self._state = state
        self._paths = paths
        self._node = node
        self._clock = clock
        self._programs = programs_of(state.name, paths)
        self._group = cgroups.group(state.name, node.role)

    @property
    def namespaces(self) -> Namespaces:
        """The namespaces of the node. Raises ClusterBroken if it is switched off."""
        return Namespaces(self._pid_of(self._node.role))

    def power(self) -> PowerState:
        """Return the current power state."""
        if self._programs.pid(self._node.role, HOLDER) is None:
            return "stopped"
        return "paused" if freezer.is_frozen(self._group) else "running"

    def shut_down(self) -> None:
        """Shut the node down: first the kubelet, which would restart pods; then the pods by SIGTERM; then the rest."""
        if self.power() == "running":
            self.end_program(nodes.KUBELET)
            self._end_pods()
            self.end_program(containerd.NAME)
        self.cut_power()

    def cut_power(self) -> None:
        """Kill all processes, frozen or not. The control group is kept for the next start."""
        cgroups.end_processes(self._group, PROGRAM_SECONDS, self._clock)
        # Processes started in a frozen group would be frozen too.
        freezer.thaw(self._group)

    def switch_on(self) -> None:
        """Create the namespaces, connect them to the switch and start the programs, as far as they do not run."""
        node = self._node
        if self.power() == "stopped":
            cgroups.make(self._group, SYSTEM_GROUP)
            paths = self._paths.node(node.role)
            self._programs.start(node_holder(self._state.name, node, paths, Path(self._state.binaries)))
            self._wait("the file system", HOLDER, (paths.config / READY).exists)
            self._wait("the namespaces", HOLDER, lambda: self.runs(HOLDER))
            network.connect_again(self._state.plan, Namespaces(self._pid_of(SWITCH)), node, self.namespaces)
        freezer.thaw(self._group)
        # In this order, since the kubelet needs containerd; the holder runs already.
        for name in NODE_PROGRAMS[1:]:
            self._start(name)
        self._check_still_running(NODE_PROGRAMS)

    def freeze(self) -> None:
        if self.power() == "stopped":
            raise ClusterBroken(f"node {self._node.name} is switched off and cannot be frozen")
        freezer.freeze(self._group, self._clock)

    def thaw(self) -> None:
        freezer.thaw(self._group)

    def is_cut_off(self) -> bool:
        # The rules are in the network namespace, which is gone when the node is off.
        return self.power() != "stopped" and drop_rules.are_set(self._in_network())

    def cut_off(self) -> None:
        drop_rules.insert(self._in_network(), network.LINK, FIREWALLS)

    def reconnect(self) -> None:
        if self.power() != "stopped":
            drop_rules.remove(self._in_network(), FIREWALLS)

    def runs(self, name: str) -> bool:
        """Return whether a program of the node runs."""
        return self._programs.pid(self._node.role, name) is not None

    def end_program(self, name: str) -> None:
        """End a program with SIGTERM, and with SIGKILL if it still runs after ``PROGRAM_SECONDS``."""
        for sign, seconds in ((signal.SIGTERM, PROGRAM_SECONDS), (signal.SIGKILL, PROGRAM_SECONDS)):
            pid = self._programs.pid(self._node.role, name)
            if pid is None:
                return
            _send(sign, [pid])
            with suppress(TimedOut):
                wait_until(f"{name} to end", lambda: (not self.runs(name) or None, "it runs"), seconds, self._clock)
        if self.runs(name):
            raise ClusterBroken(f"{name} of node {self._node.name} still runs after SIGKILL")

    def start_program(self, name: str) -> None:
        """Start a program unless it runs."""
        self._start(name)
        self._check_still_running([name])

    def traces(self) -> NodeTraces:
        """Return the state of the machine, to compare with a later one."""
        power = self.power()
        if power != "running":
            return NodeTraces(power)
        services = frozenset(service for service in SERVICES if self.runs(service))
        shown = sections(self._in_network()(["sh", "-c", NETWORK_SCRIPT]))
        found = parse_network(shown) | node_look.look(
            self._group, self.namespaces, self._paths.node(self._node.role).var / "log/pods"
        )
        return NodeTraces(power, services, frozenset(found))

    def _start(self, name: str) -> None:
        # Wait for containerd, because a kubelet ends if it cannot connect to it.
        if not self.runs(name):
            inventory = Inventory(self._state, self._paths, {self._node.role: self.namespaces})
            if name == containerd.NAME:
                # A killed containerd leaves its socket file, which would look like a running one.
                self.namespaces.file(containerd.SOCKET).unlink(missing_ok=True)
            self._programs.start(inventory.program(self._node.role, name))
            self._wait("the start", name, lambda: self.runs(name))
        if name == containerd.NAME:
            self._wait("the socket", name, self.namespaces.file(containerd.SOCKET).exists)

    def _check_still_running(self, names: Sequence[str]) -> None:
        # Programs that fail right after their start, for example without inotify instances, are not restarted.
        self._clock.sleep(STEADY_SECONDS)
        for name in names:
            self._programs.check(self._node.role, name)

    def _in_network(self) -> drop_rules.Inside:
        namespaces = self.namespaces
        return lambda command: run(namespaces.enter_network(*command), f"network of {self._node.name}")

    def _end_pods(self) -> None:
        def pods() -> set[int]:
            return cgroups.processes(f"{self._group}/{PODS_GROUP}")

        _send(signal.SIGTERM, pods())
        with suppress(TimedOut):
            wait_until("pods to end", lambda: (not pods() or None, "some run"), PODS_SECONDS, self._clock)

    def _wait(self, what: str, program: str, there: Callable[[], bool]) -> None:
        def look() -> tuple[bool | None, str]:
            self._programs.check(self._node.role, program)
            return there() or None, "not yet"

        try:
            wait_until(f"{what} of {program} on {self._node.name}", look, START_SECONDS, self._clock, every=0.02)
        except TimedOut as error:
            raise ClusterBroken(f"{error}; the logs are in {self._programs.logs}") from error

    def _pid_of(self, role: str) -> int:
        pid = self._programs.pid(role, HOLDER)
        if pid is None:
            raise ClusterBroken(f"{self._node.name if role == self._node.role else role} is switched off")
        return pid


def _send(sign: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, sign)

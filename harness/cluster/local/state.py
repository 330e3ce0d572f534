"""The persistent state of a cluster, written before anything else of it is created."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.cluster.local.paths import ClusterPaths, state_root
from harness.cluster.local.plan import Plan
from harness.common.errors import ClusterBroken

# Below the ephemeral ports of Linux (32768 and up), so that no outgoing connection uses one of them.
FIRST_NODE_PORT = 30000
NODE_PORTS = 200
FIRST_API_PORT = 29950
# 13 ranges of 200 ports end at 32599.
SLOTS = 13
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The parameters of a cluster. ``slot`` is the index of its range of loopback ports."""

    name: str
    workers: int
    slot: int
    binaries: str
    images: str
    ready: bool = False

    @property
    def plan(self) -> Plan:
        return Plan.of(self.name, self.workers)

    @property
    def api_port(self) -> int:
        """The API server's port on 127.0.0.1."""
        return FIRST_API_PORT + self.slot

    @property
    def node_ports(self) -> tuple[int, int]:
        """The first and last nodePort of the cluster, the same on 127.0.0.1 and on its nodes."""
        first = FIRST_NODE_PORT + self.slot * NODE_PORTS
        return first, first + NODE_PORTS - 1

    @property
    def prometheus_port(self) -> int:
        """The nodePort of Prometheus."""
        return self.node_ports[0]

    def save(self, paths: ClusterPaths) -> None:
        """Write the state atomically."""
        paths.root.mkdir(parents=True, exist_ok=True)
        new = paths.state.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=2))
        new.replace(paths.state)

    @classmethod
    def load(cls, paths: ClusterPaths) -> ClusterState | None:
        """Return the state of a cluster, or None if there is none. Raises ClusterBroken if the file is invalid."""
        try:
            return cls(**json.loads(paths.state.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ClusterBroken(
                f"{paths.state} is damaged ({error}); "
                f"`harness cluster down --name {paths.root.name}` removes the cluster"
            ) from error


def taken_slots(root: Path | None = None) -> set[int]:
    """Return the slots of all clusters that have a state."""
    found = set()
    for file in (root or state_root()).glob("*/cluster.json"):
        try:
            found.add(int(json.loads(file.read_text())["slot"]))
        except (ValueError, KeyError, FileNotFoundError):
            continue
    return found


def free_slot(taken: Iterable[int], is_free: Callable[[int], bool]) -> int:
    """Return the first slot that no cluster uses and whose ports are all free. Raises ClusterBroken without one."""
    busy = set(taken)
    for slot in range(SLOTS):
        state = ClusterState("probe", 0, slot, "", "")
        low, high = state.node_ports
        if slot not in busy and all(is_free(port) for port in (state.api_port, *range(low, high + 1))):
            return slot
    first, last = FIRST_API_PORT, FIRST_NODE_PORT + SLOTS * NODE_PORTS - 1
    raise ClusterBroken(f"no free range of ports left between {first} and {last} on {LOOPBACK}")


def port_is_free(port: int) -> bool:
    """Return whether nothing listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        # A listener can use a port whose closed connections are in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_root() -> bool:
    """Return whether this process is root and so can create namespaces and control groups."""
    return os.geteuid() == 0

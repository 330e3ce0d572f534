"""Up, down and in between: one cluster a name, whatever state the last command left it in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.clock import Clock, SystemClock
from harness.cluster.local import binaries, images, limits, nodes, packages, teardown, unpacked
from harness.cluster.local.boot import Boot
from harness.cluster.local.credentials import context_name
from harness.cluster.local.inventory import expected_programs, programs_of
from harness.cluster.local.locks import locked
from harness.cluster.local.namespaces import HOLDER
from harness.cluster.local.node_machine import NodeMachine
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import MAX_WORKERS, Node
from harness.cluster.local.progress import Progress
from harness.cluster.local.state import ClusterState, free_slot, is_root, port_is_free, taken_slots
from harness.cluster.nodes import PowerState
from harness.cluster.transport import HttpTransport, Request
from harness.errors import ApiError, ClusterBroken, ClusterUnreachable, InputError, Problem

DEFAULT_WORKERS = 2
LOCK_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program of a cluster: running with a process id, ended with an exit code, or neither: it was never started,
    or nobody was left to write the code down, as when its node lost its power."""

    node: str
    name: str
    pid: int | None
    exit_code: int | None

    def __str__(self) -> str:
        if self.pid is not None:
            return f"{self.node:14} {self.name:24} running, pid {self.pid}"
        ended = "not running" if self.exit_code is None else f"ended with exit code {self.exit_code}"
        return f"{self.node:14} {self.name:24} {ended}"


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node as a machine: its power, and whether it is cut off."""

    node: Node
    power: PowerState
    cut_off: bool

    @property
    def healthy(self) -> bool:
        return self.power == "running" and not self.cut_off

    def __str__(self) -> str:
        return f"{self.node.role:14} {'node':24} {self.power}{', cut off' if self.cut_off else ''}"


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A cluster as it is now. ``state`` is None when there is none of this name; ``nodes`` are told to root alone."""

    name: str
    state: ClusterState | None
    programs: tuple[ProgramStatus, ...]
    answers: bool
    nodes: tuple[NodeStatus, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether it is up: booted to the end, every node and program running, and the API server ready."""
        running = all(program.pid is not None for program in self.programs)
        whole = running and all(node.healthy for node in self.nodes)
        return self.state is not None and self.state.ready and whole and self.answers

    @property
    def summary(self) -> str:
        """One word or two."""
        if self.state is None:
            return "not there"
        return "up" if self.healthy else "broken"


def status_of(name: str) -> ClusterStatus:
    """How a cluster is. Changes nothing."""
    paths = ClusterPaths.of(name)
    state = ClusterState.load(paths)
    if state is None:
        return ClusterStatus(name, None, (), answers=False)
    programs = programs_of(name, paths)
    found = tuple(
        ProgramStatus(node, program, programs.pid(node, program), programs.exit_code(node, program))
        for node, program in expected_programs(state.plan)
    )
    return ClusterStatus(name, state, found, _answers(name, paths), _nodes(state, paths))


def _nodes(state: ClusterState, paths: ClusterPaths) -> tuple[NodeStatus, ...]:
    if not is_root() or not state.ready:
        return ()
    machines = {node: NodeMachine(state, paths, node, SystemClock()) for node in state.plan.nodes}
    return tuple(NodeStatus(node, machine.power(), machine.is_cut_off()) for node, machine in machines.items())


def _answers(name: str, paths: ClusterPaths) -> bool:
    try:
        transport = HttpTransport.from_kubeconfig(paths.kubeconfig, context_name(name))
        transport.send(Request("GET", "/readyz", timeout=3.0))
    except (ApiError, ClusterUnreachable):
        return False
    return True


def bring_up(name: str, workers: int | None, progress: Progress, clock: Clock) -> None:
    """Make the cluster of this name unless it is up. Raises ClusterBroken, InputError."""
    ClusterPaths.of(name)
    _check_workers(workers)
    packages.check_platform()
    waiting = f"another process is busy with the cluster {name}: waiting for it"
    with locked(f"cluster-{name}", progress, waiting, LOCK_SECONDS):
        if _is_up_already(name, workers, progress) or _is_repaired(name, workers, progress, clock):
            return
        packages.ensure(progress)
        built = binaries.ensure(progress, clock)
        made = images.ensure(built, progress)
        unpacked.ensure(made, nodes.snapshotter(ClusterPaths.of(name).root), progress)
        _remove_remains(name, progress, clock)
        limits.check_inotify(1 + (workers or DEFAULT_WORKERS))
        paths = ClusterPaths.of(name)
        with locked("slots", progress, "another process is choosing ports: waiting for it", LOCK_SECONDS):
            slot = free_slot(taken_slots(), port_is_free)
            state = ClusterState(name, workers or DEFAULT_WORKERS, slot, str(built.folder), str(made))
            state.save(paths)
        _boot(state, paths, progress, clock)


def _check_workers(workers: int | None) -> None:
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise InputError([Problem(f"found {workers}, expected 1 to {MAX_WORKERS}", field="number of nodes")])


def _is_up_already(name: str, workers: int | None, progress: Progress) -> bool:
    status = status_of(name)
    if status.state is None or not status.healthy:
        return False
    if workers not in {None, status.state.workers}:
        raise ClusterBroken(
            f"the local cluster {name!r} is up with {status.state.workers} workers, not {workers}; "
            f"take it down first (`harness cluster down --name {name}`) or give another name"
        )
    progress(f"the local cluster {name} is up already")
    return True


def _is_repaired(name: str, workers: int | None, progress: Progress, clock: Clock) -> bool:
    """Start again what has ended, where the namespaces are still there and so the workloads may be."""
    status = status_of(name)
    if status.state is None or not status.state.ready or workers not in {None, status.state.workers}:
        return False
    hurt = [node for node in status.nodes if not node.healthy]
    ended = [program for program in status.programs if program.pid is None]
    if not ended and not hurt:
        return False
    off = {node.node.role for node in hurt if node.power == "stopped" and not node.node.is_control_plane}
    if any(program.name == HOLDER and program.node not in off for program in ended):
        return False
    paths, rest = ClusterPaths.of(name), [program for program in ended if program.node not in off]
    progress(f"starting again in the local cluster {name}: {_listed([*hurt, *rest])}")
    try:
        for each in hurt:
            machine = NodeMachine(status.state, paths, each.node, clock)
            machine.switch_on()
            machine.reconnect()
        Boot(status.state, paths, clock, progress).restart([(one.node, one.name) for one in rest])
    except ClusterBroken as error:
        progress(f"that did not help: {error}")
        return False
    return True


def _listed(ended: Sequence[ProgramStatus | NodeStatus]) -> str:
    return "; ".join(" ".join(str(program).split()) for program in ended[:3])


def _remove_remains(name: str, progress: Progress, clock: Clock) -> None:
    if not teardown.exists(name):
        return
    ended = [program for program in status_of(name).programs if program.pid is None]
    reason = f" ({_listed(ended)})" if ended else ""
    progress(f"the local cluster {name} is not whole{reason}: removing it and starting again")
    teardown.remove(name, clock)


def _boot(state: ClusterState, paths: ClusterPaths, progress: Progress, clock: Clock) -> None:
    try:
        Boot(state, paths, clock, progress).run()
    except ClusterBroken:
        # The logs stay for whoever reads the error; `down` and the next `up` remove them.
        teardown.end_processes(state.name, clock)
        raise
    except BaseException:
        # Interrupted, or a fault of our own: nothing of use is there.
        teardown.remove(state.name, clock)
        raise
    replace(state, ready=True).save(paths)
    progress(f"the local cluster {state.name} is up: kubeconfig {paths.kubeconfig}, context {context_name(state.name)}")


def take_down(name: str, progress: Progress, clock: Clock) -> bool:
    """Remove all of a cluster, whatever is left of it. Tells whether there was anything. Raises ClusterBroken."""
    ClusterPaths.of(name)
    packages.check_platform()
    waiting = f"another process is busy with the cluster {name}: waiting for it"
    with locked(f"cluster-{name}", progress, waiting, LOCK_SECONDS):
        there = teardown.exists(name)
        teardown.remove(name, clock)
    progress(f"the local cluster {name} is gone" if there else f"there is no local cluster {name}")
    return there

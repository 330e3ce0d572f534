"""Starts, repairs and removes local clusters, whatever state an earlier command left them in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from harness.cluster.kube.transport import HttpTransport, Request
from harness.cluster.local import binaries, images, limits, nodes, packages, teardown, unpacked
from harness.cluster.local.boot import Boot
from harness.cluster.local.credentials import context_name
from harness.cluster.local.inventory import expected_programs, programs_of
from harness.cluster.local.loaded_images import LoadedImages
from harness.cluster.local.locks import locked
from harness.cluster.local.namespaces import HOLDER, Namespaces
from harness.cluster.local.node_machine import NodeMachine
from harness.cluster.local.paths import ClusterPaths
from harness.cluster.local.plan import CONTROL_PLANE, MAX_WORKERS, Node
from harness.cluster.local.state import ClusterState, free_slot, is_root, port_is_free, taken_slots
from harness.cluster.local.supply.store import ImageStore, StoredImage
from harness.cluster.nodes.control import PowerState
from harness.common.clock import Clock, SystemClock
from harness.common.errors import ApiError, ClusterBroken, ClusterUnreachable, InputError, Problem
from harness.common.progress import Progress

DEFAULT_WORKERS = 2
# The lock is held during a cold build of all components, which took 10 min 21 s on two busy cores.
LOCK_SECONDS = 900.0
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program of a cluster: running with a process id, or ended with an exit code.

    Neither is known if it was never started, or if its supervisor was killed with it, as when its node is switched off.
    """

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
    """The machine of a node: its power, and whether it is cut off."""

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
    """The status of a cluster.

    ``state`` is None if there is no cluster of this name; ``error`` is why its API server is not ready or not
    reachable, empty if it is ready; ``nodes`` is empty without root.
    """

    name: str
    state: ClusterState | None
    programs: tuple[ProgramStatus, ...]
    error: str = ""
    nodes: tuple[NodeStatus, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether it is up: completely booted, all nodes and programs running, and the API server ready."""
        return self.is_whole and not self.error

    @property
    def is_whole(self) -> bool:
        """Whether it is completely booted and all nodes and programs run, even if the API server is not ready."""
        running = all(program.pid is not None for program in self.programs)
        return self.state is not None and self.state.ready and running and all(node.healthy for node in self.nodes)

    @property
    def summary(self) -> str:
        """The status in a few words."""
        if self.state is None:
            return "not found"
        if self.is_whole:
            return f"running, but its API server is not ready: {self.error}" if self.error else "up"
        return "broken" if self.state.ready else "broken (its boot was not completed)"


def status_of(name: str) -> ClusterStatus:
    """Return the status of a cluster. Changes nothing."""
    paths = ClusterPaths.of(name)
    state = ClusterState.load(paths)
    if state is None:
        return ClusterStatus(name, None, ())
    programs = programs_of(name, paths)
    found = tuple(
        ProgramStatus(node, program, programs.pid(node, program), programs.exit_code(node, program))
        for node, program in expected_programs(state.plan)
    )
    return ClusterStatus(name, state, found, _api_error(name, paths), _nodes(state, paths))


def _nodes(state: ClusterState, paths: ClusterPaths) -> tuple[NodeStatus, ...]:
    if not is_root() or not state.ready:
        return ()
    machines = {node: NodeMachine(state, paths, node, SystemClock()) for node in state.plan.nodes}
    return tuple(NodeStatus(node, machine.power(), machine.is_cut_off()) for node, machine in machines.items())


def _api_error(name: str, paths: ClusterPaths) -> str:
    try:
        with closing(HttpTransport.from_kubeconfig(paths.kubeconfig, context_name(name))) as transport:
            transport.send(Request("GET", "/readyz", timeout=3.0))
    except (ApiError, ClusterUnreachable) as error:
        return str(error)
    return ""


def bring_up(name: str, workers: int | None, progress: Progress, clock: Clock) -> bool:
    """Create the cluster of this name unless it is up; return whether it was created.

    A cluster whose processes have died is repaired, or removed first; a running one is never removed. Raises
    ClusterBroken, InputError, and ClusterUnreachable if it runs but its API server does not answer.
    """
    ClusterPaths.of(name)
    _check_workers(workers)
    packages.check_platform()
    waiting = f"another process is busy with the cluster {name}: waiting for it"
    with locked(f"cluster-{name}", progress, waiting, LOCK_SECONDS):
        _wait_for_answer(name, progress, clock)
        if _is_up_already(name, workers, progress) or _is_repaired(name, workers, progress, clock):
            return False
        # A failed repair may still have started everything again, only too slowly for its time limit.
        _wait_for_answer(name, progress, clock)
        if _is_up_already(name, workers, progress):
            return False
        packages.ensure(progress)
        built = binaries.ensure(progress, clock)
        made = images.ensure(built, progress)
        unpacked.ensure(made, nodes.snapshotter(ClusterPaths.of(name).root), progress)
        _remove_remains(name, progress, clock)
        limits.check_inotify(1 + (workers or DEFAULT_WORKERS))
        paths = ClusterPaths.of(name)
        # Held until the state is saved, since the saved states show which slots are taken.
        with locked("slots", progress, "another process is choosing ports: waiting for it", LOCK_SECONDS):
            slot = free_slot(taken_slots(), port_is_free)
            state = ClusterState(name, workers or DEFAULT_WORKERS, slot, str(built.folder), str(made))
            # Saved before the boot and not yet as ready: if it is interrupted, the next command finds what to remove.
            state.save(paths)
        _boot(state, paths, progress, clock)
        return True


def _wait_for_answer(name: str, progress: Progress, clock: Clock) -> None:
    """Wait up to ``ANSWER_SECONDS`` for the API server of a running cluster. Raises ClusterUnreachable.

    A cluster that does not answer may still be healthy and in use, so the caller must not remove it.
    """
    status = status_of(name)
    if not status.is_whole or status.healthy:
        return
    progress(f"the local cluster {name} is {status.summary}: waiting for it")
    deadline = clock.monotonic() + ANSWER_SECONDS
    while status.is_whole and not status.healthy:
        if clock.monotonic() >= deadline:
            raise ClusterUnreachable(
                f"the local cluster {name!r} is {status.summary} (for {ANSWER_SECONDS:g} s); nothing was removed. "
                f"Show its programs with `harness cluster status --name {name}`, "
                f"remove it with `harness cluster down --name {name}`"
            )
        clock.sleep(1.0)
        status = status_of(name)


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
            f"remove it first (`harness cluster down --name {name}`) or choose another name"
        )
    progress(f"the local cluster {name} is up already")
    return True


def _is_repaired(name: str, workers: int | None, progress: Progress, clock: Clock) -> bool:
    """Restart nodes and programs that ended, and return whether the cluster is up again.

    Only if all namespaces of the cluster still exist, except those of workers that are off: else its workloads are
    lost.
    """
    status = status_of(name)
    if status.state is None or not status.state.ready or workers not in {None, status.state.workers}:
        return False
    unhealthy = [node for node in status.nodes if not node.healthy]
    ended = [program for program in status.programs if program.pid is None]
    if not ended and not unhealthy:
        return False
    off = {node.node.role for node in unhealthy if node.power == "stopped" and not node.node.is_control_plane}
    if any(program.name == HOLDER and program.node not in off for program in ended):
        return False
    paths, rest = ClusterPaths.of(name), [program for program in ended if program.node not in off]
    progress(f"restarting in the local cluster {name}: {_listed([*unhealthy, *rest])}")
    try:
        for each in unhealthy:
            machine = NodeMachine(status.state, paths, each.node, clock)
            machine.switch_on()
            machine.reconnect()
        Boot(status.state, paths, clock, progress).restart([(one.node, one.name) for one in rest])
    except ClusterBroken as error:
        progress(f"the restart failed: {error}")
        return False
    return True


def _listed(ended: Sequence[ProgramStatus | NodeStatus]) -> str:
    return "; ".join(" ".join(str(program).split()) for program in ended[:3])


def _remove_remains(name: str, progress: Progress, clock: Clock) -> None:
    if not teardown.exists(name):
        return
    status = status_of(name)
    dead: list[ProgramStatus | NodeStatus] = [program for program in status.programs if program.pid is None]
    dead += [node for node in status.nodes if not node.healthy]
    reason = f" ({_listed(dead)})" if dead else ""
    progress(f"the local cluster {name} is {status.summary}{reason}: removing it and starting again")
    teardown.remove(name, clock)


def _boot(state: ClusterState, paths: ClusterPaths, progress: Progress, clock: Clock) -> None:
    try:
        Boot(state, paths, clock, progress).run()
    except ClusterBroken:
        # The logs are kept to analyse the error; `down` and the next `up` remove them.
        teardown.end_processes(state.name, clock)
        raise
    except BaseException:
        # Interrupted, or a bug in the harness: nothing useful to keep.
        teardown.remove(state.name, clock)
        raise
    replace(state, ready=True).save(paths)
    _load_near_store(state, paths, progress)
    progress(f"the local cluster {state.name} is up: kubeconfig {paths.kubeconfig}, context {context_name(state.name)}")


def _load_near_store(state: ClusterState, paths: ClusterPaths, progress: Progress) -> None:
    """Add all images of the store to a new cluster, if they only have to be linked.

    From another disk they would be copied, so they are brought when an experiment names them."""
    store = ImageStore.of_cache()
    if not store.root.is_dir() or store.root.stat().st_dev != paths.root.stat().st_dev:
        return
    try:
        load_store(state, paths, store.images().values(), progress)
    except ClusterBroken as error:
        # The cluster is whole without them, and an experiment that needs one gets the error.
        progress(f"not all images of the image store were loaded: {error}")


def load_store(state: ClusterState, paths: ClusterPaths, images: Iterable[StoredImage], progress: Progress) -> None:
    """Add images of the image store to the registry of a running cluster. Raises ClusterBroken."""
    holder = programs_of(state.name, paths).pid(CONTROL_PLANE, HOLDER)
    if holder is None:
        raise ClusterBroken(f"the control plane of the local cluster {state.name} is not running")
    blobs, loaded = ImageStore.of_cache().blobs, LoadedImages(state.plan, paths)
    for image in images:
        loaded.load(image, blobs, Namespaces(holder), progress)


def take_down(name: str, progress: Progress, clock: Clock) -> bool:
    """Remove a cluster or what is left of it, and return whether there was anything. Raises ClusterBroken."""
    ClusterPaths.of(name)
    packages.check_platform()
    waiting = f"another process is busy with the cluster {name}: waiting for it"
    with locked(f"cluster-{name}", progress, waiting, LOCK_SECONDS):
        there = teardown.exists(name)
        teardown.remove(name, clock)
    progress(f"the local cluster {name} is removed" if there else f"there is no local cluster {name}")
    return there

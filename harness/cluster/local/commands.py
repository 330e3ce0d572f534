"""What ``harness cluster …`` does with local clusters; the command line itself is in ``harness.cli``."""

from __future__ import annotations

from pathlib import Path

from harness.clock import SystemClock
from harness.cluster.local import binaries, images, lifecycle, nodes, packages, unpacked
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.lifecycle import ClusterStatus
from harness.cluster.local.paths import ClusterPaths, state_root
from harness.cluster.local.progress import Lines, Progress
from harness.errors import ClusterUnreachable

DEFAULT_NAME = "resilience"


def up(name: str = DEFAULT_NAME, nodes: int | None = None, progress: Progress | None = None) -> LocalCluster:
    """Bring a cluster up with ``nodes`` workers, or leave it be when it is up. Raises ClusterBroken, InputError."""
    return LocalCluster.boot(name, nodes, progress or Lines())


def down(name: str = DEFAULT_NAME, progress: Progress | None = None) -> bool:
    """Remove a cluster and whatever is left of it; tells whether there was anything. Raises ClusterBroken."""
    return lifecycle.take_down(name, progress or Lines(), SystemClock())


def status(name: str = DEFAULT_NAME) -> ClusterStatus:
    """How a cluster is: its programs, and whether its API server is ready."""
    return lifecycle.status_of(name)


def kubeconfig(name: str = DEFAULT_NAME) -> Path:
    """The kubeconfig of a cluster. Raises ClusterUnreachable when there is none."""
    path = ClusterPaths.of(name).kubeconfig
    if not path.exists():
        raise ClusterUnreachable(f"there is no local cluster {name!r}; `harness cluster up --name {name}` makes it")
    return path


def build(progress: Progress | None = None) -> Binaries:
    """Install what is missing, build all components and make all images, so that the next ``up`` is quick."""
    progress = progress or Lines()
    packages.check_platform()
    packages.ensure(progress)
    built = binaries.ensure(progress)
    made = images.ensure(built, progress)
    unpacked.ensure(made, nodes.snapshotter(state_root()), progress)
    return built

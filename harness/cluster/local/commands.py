"""The commands ``harness cluster …`` for local clusters; the command line itself is in ``harness.cli.main``."""

from __future__ import annotations

from pathlib import Path

from harness.cluster.local import binaries, images, lifecycle, nodes, packages, releases, unpacked
from harness.cluster.local.binaries import Binaries
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.lifecycle import ClusterStatus
from harness.cluster.local.paths import ClusterPaths, state_root
from harness.common.clock import SystemClock
from harness.common.errors import ClusterUnreachable
from harness.common.progress import Lines, Progress

DEFAULT_NAME = "resilience"


def up(name: str = DEFAULT_NAME, nodes: int | None = None, progress: Progress | None = None) -> LocalCluster:
    """Start a cluster with ``nodes`` workers unless it is up. Raises ClusterBroken, InputError."""
    return LocalCluster.boot(name, nodes, progress or Lines())


def down(name: str = DEFAULT_NAME, progress: Progress | None = None) -> bool:
    """Remove a cluster or what is left of it; return whether there was anything. Raises ClusterBroken."""
    return lifecycle.take_down(name, progress or Lines(), SystemClock())


def status(name: str = DEFAULT_NAME) -> ClusterStatus:
    """Return the status of a cluster: its programs, and whether its API server is ready."""
    return lifecycle.status_of(name)


def names() -> list[str]:
    """Return the names of all local clusters of this machine, incomplete ones too."""
    root = state_root()
    return sorted(folder.name for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []


def kubeconfig(name: str = DEFAULT_NAME) -> Path:
    """Return the kubeconfig file of a cluster. Raises ClusterUnreachable if there is none."""
    path = ClusterPaths.of(name).kubeconfig
    if not path.exists():
        raise ClusterUnreachable(f"no local cluster {name!r}; create it with `harness cluster up --name {name}`")
    return path


def build(progress: Progress | None = None, *, from_releases: bool = False, mirror: str = "") -> Binaries:
    """Install missing packages, build all components and all images, so that the next ``up`` is quick.

    With ``from_releases``, components are downloaded where a checksum is known, from ``mirror`` if one is given; the
    rest is built. Raises ClusterBroken, InputError.
    """
    progress = progress or Lines()
    if mirror:
        releases.check_mirror(mirror)
    packages.check_platform()
    packages.ensure(progress)
    if from_releases:
        releases.ensure(progress, SystemClock(), mirror)
    built = binaries.ensure(progress)
    made = images.ensure(built, progress)
    unpacked.ensure(made, nodes.snapshotter(state_root()), progress)
    return built

"""A local cluster for a benchmark, and a namespace in it: both gone afterwards, unless they were there before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from harness import arrange
from harness.clock import SystemClock
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.progress import Progress
from harness.errors import ClusterRefused


@contextmanager
def local_cluster(name: str, workers: int, progress: Progress) -> Iterator[LocalCluster]:
    """A cluster that is up; one that was up before stays."""
    was_up = commands.status(name).healthy
    try:
        with closing(commands.up(name, None if was_up else workers, progress)) as cluster:
            yield cluster
    finally:
        if not was_up:
            commands.down(name, progress)


def refuse_existing(name: str) -> None:
    """Raises ClusterRefused where there is a cluster of this name: what boots and removes clusters needs its own."""
    if commands.status(name).state is not None:
        raise ClusterRefused(f"there is a local cluster {name!r} already: name another with --cluster-name")


@contextmanager
def namespace(cluster: LocalCluster, name: str) -> Iterator[str]:
    """A new namespace, removed with all that is in it."""
    arrange.make_namespace(cluster.api, name, "benchmark", name)
    try:
        yield name
    finally:
        arrange.remove_namespace(cluster.api, name, SystemClock())

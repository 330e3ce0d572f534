"""A local cluster for a benchmark, and a namespace in it: both gone afterwards, unless they were there before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from harness.cluster.kube import namespaces
from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.common.clock import SystemClock
from harness.common.errors import ClusterRefused
from harness.common.progress import Progress


@contextmanager
def local_cluster(name: str, workers: int, progress: Progress) -> Iterator[LocalCluster]:
    """A cluster that is up; one that was there before stays."""
    there = commands.status(name).state is not None
    with closing(commands.up(name, None if there else workers, progress)) as cluster:
        try:
            yield cluster
        finally:
            if cluster.is_new:
                commands.down(name, progress)


def refuse_existing(name: str) -> None:
    """Raises ClusterRefused where there is a cluster of this name: what boots and removes clusters needs its own."""
    if commands.status(name).state is not None:
        raise ClusterRefused(f"there is a local cluster {name!r} already: name another with --cluster-name")


@contextmanager
def namespace(cluster: LocalCluster, name: str) -> Iterator[str]:
    """A new namespace, removed with all that is in it."""
    namespaces.make_namespace(cluster.api, name, "benchmark", name)
    try:
        yield name
    finally:
        namespaces.remove_namespace(cluster.api, name, SystemClock())

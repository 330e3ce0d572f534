"""A local cluster of its own for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from harness.cluster.local import commands
from harness.cluster.local.cluster import LocalCluster
from harness.cluster.local.locks import locked


def silent(_message: str) -> None:
    """Progress that nobody reads."""


@contextmanager
def own_cluster(name: str, nodes: int) -> Iterator[LocalCluster]:
    """Boot a cluster with so many workers, and delete it in the end. Another run of the same tests waits."""
    with locked(f"{name}-tests", silent, "another run of these tests"):
        with closing(commands.up(name, nodes, silent)) as cluster:
            yield cluster
        commands.down(name, silent)

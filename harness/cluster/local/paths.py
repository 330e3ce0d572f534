"""Where the local clusters keep things: what is built once in the cache, what is one cluster's in its state folder.

The cache is safe to delete while no cluster is up. The state folder of a cluster holds all of its files; nothing of a
cluster lies anywhere else, so removing the folder removes them all.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError, Problem

CACHE_VARIABLE = "RESILIENCE_CACHE"
STATE_VARIABLE = "RESILIENCE_STATE"
# On disk and not in /run: containers' layers, volumes and etcd's data live here, and /run is memory.
DEFAULT_STATE = Path("/var/lib/resilience-harness")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


def cache_root() -> Path:
    """The folder of everything that is built once and used by every cluster."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "resilience-harness"


def state_root() -> Path:
    """The folder that holds one folder for each local cluster."""
    chosen = os.environ.get(STATE_VARIABLE)
    return Path(chosen).absolute() if chosen else DEFAULT_STATE


def check_name(name: str) -> None:
    """Refuse a cluster name that cannot be part of a node name. Raises InputError."""
    if not NAME.fullmatch(name):
        expected = "expected at most 24 lower-case letters, digits and inner dashes"
        raise InputError([Problem(f"found {name!r}, {expected}", field="cluster name")])


@dataclass(frozen=True, slots=True)
class NodePaths:
    """The files of one node. ``var`` and ``tmp`` are the node's /var and /tmp, ``config`` its /run/node."""

    root: Path

    @property
    def var(self) -> Path:
        return self.root / "var"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def run(self) -> Path:
        """Where the node's /run is put together; empty outside of the node's own mount namespace."""
        return self.root / "run"


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    """The files of one cluster."""

    root: Path

    @classmethod
    def of(cls, name: str) -> ClusterPaths:
        """Those of the cluster of this name. Raises InputError for a name that cannot be one."""
        check_name(name)
        return cls(state_root() / name)

    @property
    def state(self) -> Path:
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def programs(self) -> Path:
        """The process ids and exit codes of the programs that run."""
        return self.root / "programs"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    def node(self, node: str) -> NodePaths:
        """The files of one node."""
        return NodePaths(self.root / "nodes" / node)

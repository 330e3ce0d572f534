"""The folders of local clusters: the cache for what is built once, and a state folder for each cluster.

The cache may be deleted while no cluster is up. The state folder of a cluster contains all of its files, so removing
the folder removes them all.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.common.errors import InputError, Problem

CACHE_VARIABLE = "RESILIENCE_CACHE"
STATE_VARIABLE = "RESILIENCE_STATE"
# Not in /run, which is in memory: container layers, volumes and etcd's data need a disk.
DEFAULT_STATE = Path("/var/lib/resilience-harness")
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?")


def cache_root() -> Path:
    """Return the folder of everything that is built once and used by all clusters."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).absolute() if chosen else Path.home() / ".cache" / "resilience-harness"


def state_root() -> Path:
    """Return the folder that contains one folder for each local cluster."""
    chosen = os.environ.get(STATE_VARIABLE)
    return Path(chosen).absolute() if chosen else DEFAULT_STATE


def check_name(name: str) -> None:
    """Raise InputError if a cluster name cannot be part of a node name."""
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
        """The folder where the node's /run is assembled; empty outside the node's mount namespace."""
        return self.root / "run"


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    """The files of one cluster."""

    root: Path

    @classmethod
    def of(cls, name: str) -> ClusterPaths:
        """Return the files of the cluster of this name. Raises InputError if the name is invalid."""
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
        """The folder with the process ids and exit codes of the programs."""
        return self.root / "programs"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    def node(self, node: str) -> NodePaths:
        """Return the files of one node."""
        return NodePaths(self.root / "nodes" / node)

"""Keeps calibrations for later runs, by what they are true of: the cluster, the machine and the harness's version.

Clusters of ours come and go; two of one kind, size and version on one machine are one and the same stopwatch. Any other
cluster is told by the UID of its namespace ``kube-system``, which lives as long as the cluster does.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from pydantic import ValidationError

from harness import __version__
from harness.accuracy import Calibration
from harness.cluster.local.paths import cache_root
from harness.cluster.protocol import Cluster
from harness.cluster.resources import NODES
from harness.run import cluster_uid

FOLDER = "calibrations"
MACHINE_ID = Path("/etc/machine-id")


def identity(cluster: Cluster) -> str:
    """What a calibration of this cluster is true of. Raises ApiError."""
    if cluster.provider in {"local", "kind"}:
        nodes = len(cluster.api.list(NODES).items)
        return f"{cluster.provider}, {nodes} nodes, {cluster.api.version()}"
    return f"{cluster.provider} {cluster_uid(cluster) or cluster.context}"


def machine() -> str:
    """This machine, as far as its timing goes."""
    name = MACHINE_ID.read_text(encoding="ascii").strip() if MACHINE_ID.exists() else platform.node()
    return f"{name[:12]}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def save(calibration: Calibration) -> Path:
    """Keep a calibration in place of an older one of the same; returns its file."""
    file = _file(calibration.cluster, calibration.machine)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.new")
    new.write_text(calibration.model_dump_json(indent=2), encoding="utf-8")
    new.replace(file)
    return file


def find(cluster: Cluster) -> Calibration | None:
    """What is known of this cluster's stopwatch, or None. Raises ApiError."""
    file = _file(identity(cluster), machine())
    try:
        return Calibration.model_validate_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        # One that cannot be read says no more than one that is not there.
        return None


def _file(cluster: str, machine: str) -> Path:
    key = hashlib.sha256(f"{cluster}\n{machine}\n{__version__}".encode()).hexdigest()[:16]
    return cache_root() / FOLDER / f"{key}.json"

"""Store calibrations for later runs, by cluster, machine and version of the harness.

Owned clusters are short-lived, so those with the same provider, size and version share a calibration. A foreign cluster
is identified by the UID of its namespace ``kube-system``, which exists as long as the cluster does.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness import __version__
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.resources import NODES
from harness.cluster.local.paths import cache_root
from harness.cluster.protocol import Cluster
from harness.engine.steps.run import cluster_uid
from harness.model.clock_errors import Calibration
from harness.results.reporting.store import write_atomically

FOLDER = "calibrations"
MACHINE_ID = Path("/etc/machine-id")
_SHARED: TypeAdapter[Calibration | None] = TypeAdapter(Calibration | None)


class RunCalibration:
    """The calibration that one process of a run measures for all of its processes. ``folder`` is that of the run.

    It also covers results that are not stored for later runs: a disturbed calibration, or a failed one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "calibration.json"

    @property
    def measured(self) -> bool:
        """Whether a process of this run has already calibrated, successfully or not."""
        return self._file.exists()

    def keep(self, calibration: Calibration | None) -> None:
        """Share a calibration with the other processes; None if it failed."""
        write_atomically(self._file, calibration.model_dump_json(indent=2) if calibration else "null")

    def found(self) -> Calibration | None:
        """Return the shared calibration; None if it failed."""
        return _SHARED.validate_json(self._file.read_text(encoding="utf-8"))


def identity(cluster: Cluster) -> str:
    """Return the text that identifies a cluster for calibrations. Raises ApiError."""
    if cluster.ownership is Ownership.OWNED:
        nodes = len(cluster.api.list(NODES).items)
        return f"{cluster.provider}, {nodes} nodes, {cluster.api.version()}"
    return f"{cluster.provider} {cluster_uid(cluster) or cluster.context}"


def machine() -> str:
    """Return the text that identifies this machine for calibrations: what influences its timing."""
    name = MACHINE_ID.read_text(encoding="ascii").strip() if MACHINE_ID.exists() else platform.node()
    return f"{name[:12]}, {os.cpu_count()} processors, {platform.system()} {platform.release()}"


def save(calibration: Calibration) -> Path:
    """Store a calibration, replacing an older one of the same cluster and machine; return its file."""
    file = file_of(calibration)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{os.getpid()}.new")
    new.write_text(calibration.model_dump_json(indent=2), encoding="utf-8")
    new.replace(file)
    return file


def find(cluster: Cluster) -> Calibration | None:
    """Return the stored calibration for this cluster and machine, or None. Raises ApiError."""
    file = _file(identity(cluster), machine())
    try:
        return Calibration.model_validate_json(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        # An unreadable file counts as missing, so that the next calibration replaces it.
        return None


def file_of(calibration: Calibration) -> Path:
    """Return the path of a stored calibration."""
    return _file(calibration.cluster, calibration.machine)


def _file(cluster: str, machine: str) -> Path:
    key = hashlib.sha256(f"{cluster}\n{machine}\n{__version__}".encode()).hexdigest()[:16]
    return cache_root() / FOLDER / f"{key}.json"

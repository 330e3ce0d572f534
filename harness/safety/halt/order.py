"""The halt order: a ConfigMap in the harness's own namespace, which every run on the cluster watches, or a file."""

from __future__ import annotations

import getpass
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.kube.client import KubeApi, Object
from harness.cluster.kube.permissions import allow
from harness.cluster.kube.resources import CONFIG_MAPS, NAMESPACES
from harness.common.errors import ApiError
from harness.common.naming import COMPONENT_LABEL, MANAGED_BY, SYSTEM_NAMESPACE

NAME = "halt"
SELECTOR = f"{COMPONENT_LABEL}=halt"
# What a run needs to obey an order. Only people give and clear orders, with their own permissions.
PERMISSIONS = allow(CONFIG_MAPS, "list", "watch", place="system")
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Halt:
    """An order to halt: who gave it, why, and when (``at``, RFC 3339)."""

    by: str
    reason: str = ""
    at: str = ""

    def __str__(self) -> str:
        since = f" at {self.at}" if self.at else ""
        return f"halted by {self.by}{since}: {self.reason or 'no reason given'}"


def whoami() -> str:
    """Return ``user@host`` for this process, or the host alone if the user has no name."""
    # getuser() fails in a container whose user has no entry in /etc/passwd.
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()


def order(api: KubeApi, halt: Halt) -> None:
    """Halt every run on the cluster, and let no new one begin. Raises ApiError."""
    metadata = {"name": NAME, "labels": {**MANAGED_BY, COMPONENT_LABEL: "halt"}}
    data = {"by": halt.by, "reason": halt.reason, "at": halt.at}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    try:
        api.apply(config_map, SYSTEM_NAMESPACE)
    except ApiError as error:
        if not error.not_found:
            raise
        # Only after a 404, so that a user without permission to create namespaces can still halt existing runs.
        make_system_namespace(api)
        api.apply(config_map, SYSTEM_NAMESPACE)


def make_system_namespace(api: KubeApi) -> None:
    """Create the namespace of the harness if it does not exist. Raises ApiError."""
    namespace = {"name": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)}
    try:
        api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    except ApiError as error:
        if error.status != 409:
            raise


def clear(api: KubeApi) -> Halt | None:
    """Clear the order. Return the order that was in force, or None. Raises ApiError."""
    found = api.find(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE)
    if found is None:
        return None
    api.delete(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE)
    return read(found)


def read(config_map: Object) -> Halt:
    """Return the order in a ConfigMap. Any content counts as an order, since halting is the safe reading."""
    data = {key: str(value) for key, value in (config_map.get("data") or {}).items()}
    return Halt(data.get("by") or "an unknown user", data.get("reason", "")[:_LONGEST_REASON], data.get("at", ""))


def read_files(files: Iterable[Path]) -> Halt | None:
    """Return the order given by the first of these files that exists, or None."""
    return next(filter(None, map(read_file, files)), None)


def read_file(file: Path) -> Halt | None:
    """Return the order given by a file, or None if it does not exist. Its existence is enough; line 1 is the reason."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            # Reading a pipe would block until data is written to it, and its existence is enough.
            return Halt(f"the file {file}")
        with file.open(encoding="utf-8", errors="replace") as stream:
            return Halt(f"the file {file}", stream.read(_LONGEST_REASON).strip().partition("\n")[0])
    except FileNotFoundError:
        return None
    except OSError:
        # It exists but cannot be read: halting is the safe choice.
        return Halt(f"the file {file}")

"""The order to halt: a ConfigMap in the harness's own namespace, which every run on the cluster watches, or a file."""

from __future__ import annotations

import getpass
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import allow
from harness.cluster.resources import CONFIG_MAPS, NAMESPACES
from harness.errors import ApiError
from harness.naming import COMPONENT_LABEL, MANAGED_BY, SYSTEM_NAMESPACE

NAME = "halt"
SELECTOR = f"{COMPONENT_LABEL}=halt"
# What a run needs to obey; giving the order and clearing it is for people.
PERMISSIONS = allow(CONFIG_MAPS, "list", "watch", place="system")
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Halt:
    """Who wants everything to stop, and why. ``at`` is RFC 3339."""

    by: str
    reason: str = ""
    at: str = ""

    def __str__(self) -> str:
        since = f" at {self.at}" if self.at else ""
        return f"halted by {self.by}{since}: {self.reason or 'no reason given'}"


def whoami() -> str:
    """The person at this machine, as far as it knows."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()


def order(api: KubeApi, halt: Halt) -> None:
    """Halt every run on the cluster, and let none begin. Raises ApiError."""
    metadata = {"name": NAME, "labels": {**MANAGED_BY, COMPONENT_LABEL: "halt"}}
    data = {"by": halt.by, "reason": halt.reason, "at": halt.at}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    try:
        api.apply(config_map, SYSTEM_NAMESPACE)
    except ApiError as error:
        if not error.not_found:
            raise
        # Only now: whoever may not make namespaces may halt the runs that are there all the same.
        _make_system_namespace(api)
        api.apply(config_map, SYSTEM_NAMESPACE)


def _make_system_namespace(api: KubeApi) -> None:
    namespace = {"name": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)}
    try:
        api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    except ApiError as error:
        if error.status != 409:
            raise


def clear(api: KubeApi) -> Halt | None:
    """Take the order back; the one that stood, or None when there was none. Raises ApiError."""
    found = api.find(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE)
    if found is None:
        return None
    api.delete(CONFIG_MAPS, NAME, SYSTEM_NAMESPACE)
    return read(found)


def read(config_map: Object) -> Halt:
    """The order that a ConfigMap holds. Whatever is in it, it is one: somebody wanted everything to stop."""
    data = {key: str(value) for key, value in (config_map.get("data") or {}).items()}
    return Halt(data.get("by") or "somebody", data.get("reason", "")[:_LONGEST_REASON], data.get("at", ""))


def read_file(file: Path) -> Halt | None:
    """The order that the mere existence of a file gives; its first line is the reason."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            # Reading a pipe would wait for whoever writes to it: that it is there is enough.
            return Halt(f"the file {file}")
        with file.open(encoding="utf-8", errors="replace") as stream:
            return Halt(f"the file {file}", stream.read(_LONGEST_REASON).strip().partition("\n")[0])
    except FileNotFoundError:
        return None
    except OSError:
        # It is there and cannot be read: a halt, not a reason to go on.
        return Halt(f"the file {file}")

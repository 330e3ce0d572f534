"""The undo journal: how to take back every effect, written down before the effect happens.

An entry is data, never code: the kind of fault that knows how to undo it, and its parameters. It goes to disk
(append-only, fsynced) and to the cluster (a ConfigMap in a namespace of the harness's own, labelled with the run)
before the effect, so that whoever finds the cluster after a crash can take everything back. ``undo_all`` works in
reverse, verifies, and keeps going when one entry fails; a failed undo is raised at the end with all of them named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from harness.clock import Clock, iso
from harness.cluster.api import KubeApi, Object
from harness.cluster.permissions import allow
from harness.cluster.protocol import Cluster
from harness.cluster.resources import CONFIG_MAPS, NAMESPACES
from harness.errors import ApiError, HarnessError, UndoFailed
from harness.naming import MANAGED_BY, RUN_LABEL, SYSTEM_NAMESPACE
from harness.timeouts import UNDONE
from harness.waiting import wait_until

State = Literal["pending", "done", "failed"]

# What the API server must allow for a journal.
PERMISSIONS = allow(NAMESPACES, "get", "create", place="cluster") | allow(
    CONFIG_MAPS, "create", "patch", "delete", place="system"
)

# Takes back one effect: idempotent, verified, and returns a sentence saying what it found. Raises HarnessError.
UndoAction = Callable[[Cluster, Mapping[str, Any]], str]


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """One effect's undo. ``parameters`` are JSON and name objects by UID where there is one."""

    id: int
    kind: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)
    state: State = "pending"
    error: str = ""
    written: str = ""


class Journal:
    """The undo journal of one experiment."""

    def __init__(self, cluster: Cluster, file: Path, run: str, name: str, clock: Clock) -> None:
        self._cluster = cluster
        self._file = file
        self._run = run
        self._name = f"undo-{name}"[:63].rstrip("-.")
        self._clock = clock
        self._entries: dict[int, UndoEntry] = {}
        self._last_written: float | None = None

    @property
    def last_written(self) -> float | None:
        """When the last undo was safe, in monotonic seconds: no effect came before, since faults write theirs first."""
        return self._last_written

    @property
    def entries(self) -> list[UndoEntry]:
        """All entries in the order written, with what became of them."""
        return list(self._entries.values())

    def write(self, kind: str, description: str, parameters: Mapping[str, Any]) -> UndoEntry:
        """Write an undo, durably, on disk and in the cluster. The effect may happen only after this returned."""
        written = iso(self._clock.wall())
        entry = UndoEntry(len(self._entries) + 1, kind, description, dict(parameters), written=written)
        self._entries[entry.id] = entry
        self._append(entry)
        self._publish()
        self._last_written = self._clock.monotonic()
        return entry

    def undo_all(self, actions: Mapping[str, UndoAction]) -> None:
        """Take back everything still pending, in reverse. Raises UndoFailed naming every entry that could not be."""
        failures: list[str] = []
        # An exit stack runs all of it in reverse, whatever is raised on the way: a bug in one undo stops no other.
        with ExitStack() as stack:
            for entry in self.entries:
                if entry.state != "done":
                    stack.callback(self._undo, entry, actions, failures)
        if failures:
            raise UndoFailed("; ".join(failures))
        self._withdraw()

    def _undo(self, entry: UndoEntry, actions: Mapping[str, UndoAction], failures: list[str]) -> None:
        def look() -> tuple[str | None, str]:
            return _action(actions, entry.kind)(self._cluster, entry.parameters), ""

        try:
            # An API server that is away for a moment must not leave a fault behind.
            wait_until(f"undo of {entry.kind}", look, UNDONE, self._clock, every=1.0)
        except HarnessError as error:
            failures.append(f"{entry.description}: {error}")
            self._mark(replace(entry, state="failed", error=str(error)))
        else:
            self._mark(replace(entry, state="done", error=""))

    def _mark(self, entry: UndoEntry) -> None:
        self._entries[entry.id] = entry
        self._append(entry)

    def _append(self, entry: UndoEntry) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab+") as stream:
            # A line that a crash or a full disk has cut must not swallow this one.
            if stream.tell() and not _ends_with_newline(stream):
                stream.write(b"\n")
            stream.write(json.dumps(asdict(entry)).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _publish(self) -> None:
        api = self._cluster.api
        ensure_system_namespace(api)
        api.apply(journal_object(self._name, self._run, self.entries), SYSTEM_NAMESPACE)

    def _withdraw(self) -> None:
        if not self._entries:
            return
        try:
            self._cluster.api.delete(CONFIG_MAPS, self._name, SYSTEM_NAMESPACE)
        except ApiError as error:
            if not error.not_found:
                raise


def journal_object(name: str, run: str, entries: Sequence[UndoEntry]) -> Object:
    """The ConfigMap that holds a journal."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": {**MANAGED_BY, RUN_LABEL: run}},
        "data": {"journal": json.dumps([asdict(entry) for entry in entries], indent=1)},
    }


def _action(actions: Mapping[str, UndoAction], kind: str) -> UndoAction:
    if kind not in actions:
        raise HarnessError(f"nothing here knows how to undo a {kind}")
    return actions[kind]


def _ends_with_newline(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def ensure_system_namespace(api: KubeApi) -> None:
    """Make the harness's own namespace when it is missing."""
    if api.find(NAMESPACES, SYSTEM_NAMESPACE) is None:
        metadata = {"name": SYSTEM_NAMESPACE, "labels": dict(MANAGED_BY)}
        try:
            # Not applied: that would need leave to patch any namespace.
            api.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        except ApiError as error:
            # Another run was faster.
            if error.status != 409:
                raise


def read_journal(file: Path) -> list[UndoEntry]:
    """The entries of a journal on disk, each in its last state; a cut last line (a crash mid-write) is left out."""
    entries: dict[int, UndoEntry] = {}
    if not file.exists():
        return []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = UndoEntry(**json.loads(line))
        except (ValueError, TypeError):
            continue
        entries[entry.id] = entry
    return list(entries.values())

"""The undo journal: records how to undo every effect, before the effect is injected.

An entry is data, never code: the kind of the undo action and its parameters. It is written to disk (append-only,
fsynced) and to the cluster (see ``cluster_copy``) before the effect, and its outcome afterwards, so that any machine
with access to the cluster can undo everything after a crash. Entries are undone in reverse order and verified. A
failing entry does not stop the others; all failures are raised together at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from harness.cluster.protocol import Cluster
from harness.common.clock import Clock, iso
from harness.common.durable import sync_folder
from harness.common.errors import ApiError, HarnessError, Inconclusive, NotYet, UndoFailed
from harness.common.timeouts import UNDONE, UNDONE_AT_LEAST
from harness.common.waiting import wait_until
from harness.safety.undo.cluster_copy import JournalCopy
from harness.safety.undo.entry import Origin, UndoEntry, decode, encode

# Seconds after which an effect is no longer needed, if the journal's owner sets no other limit.
DEFAULT_TTL = 1800.0

# Undoes one effect: idempotent and verified. Returns a sentence that describes what it found. Raises HarnessError.
UndoAction = Callable[[Cluster, Mapping[str, Any]], str]


class Journal:
    """The undo journal of one experiment.

    ``ttl`` is how many seconds an effect may be needed at most; faults that expire by themselves in a pod use it as
    their limit. ``refused`` returns why no more faults may be injected (see ``lease``), or None.
    """

    def __init__(
        self,
        cluster: Cluster,
        file: Path,
        run: str,
        name: str,
        clock: Clock,
        *,
        cluster_uid: str = "",
        ttl: float = DEFAULT_TTL,
        refused: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.ttl = ttl
        self._cluster = cluster
        self._file = file
        self._origin = Origin(run, f"undo-{name}".rstrip("-."), cluster_uid)
        self._copy = JournalCopy(cluster.api, self._origin)
        self._clock = clock
        self._refused = refused
        self._entries: dict[int, UndoEntry] = {}
        self._last_written: float | None = None

    @property
    def last_written(self) -> float | None:
        """When the last entry was stored, in monotonic seconds. Its effect was injected later, never before."""
        return self._last_written

    @property
    def entries(self) -> list[UndoEntry]:
        """All entries in the order written, each in its latest state."""
        return list(self._entries.values())

    def pending(self, after: int = 0) -> list[UndoEntry]:
        """Return the entries with an id above ``after`` that are not undone."""
        return [entry for entry in self.entries if entry.id > after and entry.state != "done"]

    def write(self, kind: str, description: str, parameters: Mapping[str, Any]) -> UndoEntry:
        """Store an undo entry durably on disk and in the cluster. Inject the effect only after this has returned.

        Raises Inconclusive if no more faults may be injected; OSError, ApiError or HarnessError if it is not stored.
        """
        refused = self._refused()
        if refused:
            raise Inconclusive(refused)
        now = self._clock.wall()
        entry = UndoEntry(
            id=len(self._entries) + 1,
            kind=kind,
            description=description,
            parameters=dict(parameters),
            written=iso(now),
            expires=iso(now + self.ttl),
        )
        self._entries[entry.id] = entry
        self._append(entry)
        self._copy.publish(self.entries)
        # Publishing may have taken so long that another process took over this run's Lease.
        refused = self._refused()
        if refused:
            self._mark(replace(entry, state="done", error=f"not needed, the fault was not injected: {refused}"))
            raise Inconclusive(refused)
        self._last_written = self._clock.monotonic()
        return entry

    def keep(self) -> None:
        """Mark the cluster's copy as kept on purpose; it remains, so that ``harness sweep --kept`` can undo it."""
        if self._copy.parts:
            self._copy.publish(self.entries, kept=True)

    def undo_all(
        self, actions: Mapping[str, UndoAction], *, after: int = 0, among: Container[int] | None = None
    ) -> None:
        """Undo the pending entries with an id above ``after``, and among these ids if given, in reverse order.

        Raises UndoFailed, which names every entry that could not be undone.
        """
        entries = [entry for entry in self.pending(after) if among is None or entry.id in among]
        undo_entries(entries, self._cluster, actions, self._clock, self._mark)
        if not self.pending():
            self._copy.withdraw()

    def _mark(self, entry: UndoEntry) -> None:
        self._entries[entry.id] = entry
        # A lost mark only repeats an idempotent undo, while an error raised here would hide those of failed undos.
        with suppress(OSError):
            self._append(entry)
        # After the last undo the copy is withdrawn, so its final state need not be published.
        if self._copy.parts and self.pending():
            with suppress(ApiError):
                self._copy.publish(self.entries)

    def _append(self, entry: UndoEntry) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        append_line(self._file, self._origin, entry)


def append_line(file: Path, origin: Origin, entry: UndoEntry) -> None:
    """Append an entry to a journal on disk; it is durable when this returns. Raises OSError."""
    with file.open("ab+") as stream:
        if not stream.tell():
            # A new file survives a power cut only if its folder entry was synced, and so for each folder above it.
            _sync_folders(file)
        # Start a new line, so that a line truncated by a crash or a full disk does not swallow this one.
        if stream.tell() and not _ends_with_newline(stream):
            stream.write(b"\n")
        stream.write(encode(origin, entry))
        stream.flush()
        os.fsync(stream.fileno())


def undo_entries(
    entries: Sequence[UndoEntry],
    cluster: Cluster,
    actions: Mapping[str, UndoAction],
    clock: Clock,
    mark: Callable[[UndoEntry], None],
) -> None:
    """Undo entries in reverse order and ``mark`` each with its new state.

    Raises UndoFailed, which names every entry that could not be undone.
    """
    failures: list[str] = []
    deadline = clock.monotonic() + UNDONE

    def undo(entry: UndoEntry) -> None:
        def look() -> tuple[str | None, str]:
            try:
                return _action(actions, entry.kind)(cluster, entry.parameters), ""
            except (NotYet, ApiError) as error:
                # Retried for any status, since even an expired token is refreshed a moment later. Only 403 is final.
                if isinstance(error, ApiError) and error.status == 403:
                    raise
                return None, str(error)
            except (KeyError, TypeError, ValueError) as error:
                # Another version, or a person, wrote these parameters: a retry would not help.
                reason = f"the undo action cannot use the entry's parameters: {type(error).__name__}: {error}"
                raise HarnessError(reason) from error

        try:
            # A short API outage must not leave a fault behind, but a lasting one must not cost a full wait per entry:
            # all entries share one deadline, and each has a minimum.
            seconds = max(UNDONE_AT_LEAST, deadline - clock.monotonic())
            wait_until(f"undo of {entry.kind}", look, seconds, clock, every=1.0)
        except HarnessError as error:
            failures.append(f"{entry.description}: {error}")
            mark(replace(entry, state="failed", error=str(error)))
        else:
            mark(replace(entry, state="done", error=""))

    # An exit stack runs every callback in reverse, whatever they raise: a bug in one undo does not stop the others.
    with ExitStack() as stack:
        for entry in entries:
            stack.callback(undo, entry)
    if failures:
        raise UndoFailed("; ".join(failures))


def read_journal(file: Path) -> list[UndoEntry]:
    """Return the entries of a journal on disk, each in its latest state. Raises HarnessError for a newer format."""
    return list(decode(file.read_bytes()).entries) if file.exists() else []


def _action(actions: Mapping[str, UndoAction], kind: str) -> UndoAction:
    if kind not in actions:
        raise HarnessError(f"this version has no undo action for {kind}")
    return actions[kind]


def _sync_folders(file: Path) -> None:
    sync_folder(file.parent)
    for folder in file.absolute().parents[1:]:
        # The folders further up mostly existed before, and their owner may not allow opening them.
        with suppress(OSError):
            sync_folder(folder)


def _ends_with_newline(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"

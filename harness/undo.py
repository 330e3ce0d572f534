"""The undo journal: how to take back every effect, written down before the effect happens.

An entry is data, never code: the kind of fault that knows how to undo it, and its parameters. It goes to disk
(append-only, fsynced) and to the cluster (see ``undo_copy``) before the effect, and what became of it after, so that
whoever finds the cluster after a crash can take everything back. Undoing goes in reverse, verifies, and keeps going
when one entry fails; a failed undo is raised at the end with all of them named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from harness.clock import Clock, iso
from harness.cluster.protocol import Cluster
from harness.durable import sync_folder
from harness.errors import ApiError, HarnessError, Inconclusive, NotYet, UndoFailed
from harness.timeouts import UNDONE, UNDONE_AT_LEAST
from harness.undo_copy import JournalCopy
from harness.undo_entry import Origin, UndoEntry, decode, encode
from harness.waiting import wait_until

# An effect that nobody has said more about is nobody's any more after so many seconds.
DEFAULT_TTL = 1800.0

# Takes back one effect: idempotent, verified, and returns a sentence saying what it found. Raises HarnessError.
UndoAction = Callable[[Cluster, Mapping[str, Any]], str]


class Journal:
    """The undo journal of one experiment.

    ``ttl``: how many seconds from now on an effect may be needed at most; faults that expire by themselves where they
    are take it for that. ``refused`` tells why nothing more may be broken (see ``lease``), or None.
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
        """When the last undo was safe, in monotonic seconds: no effect came before, since faults write theirs first."""
        return self._last_written

    @property
    def entries(self) -> list[UndoEntry]:
        """All entries in the order written, with what became of them."""
        return list(self._entries.values())

    def pending(self, after: int = 0) -> list[UndoEntry]:
        """The entries with a higher id than ``after`` that are not taken back."""
        return [entry for entry in self.entries if entry.id > after and entry.state != "done"]

    def write(self, kind: str, description: str, parameters: Mapping[str, Any]) -> UndoEntry:
        """Write an undo, durably, on disk and in the cluster. The effect may happen only after this returned.

        Raises Inconclusive when nothing more may be broken; OSError, ApiError or HarnessError when it is not safe.
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
        # Publishing may have taken long, and somebody else may have taken this run for dead meanwhile.
        refused = self._refused()
        if refused:
            self._mark(replace(entry, state="done", error=f"not needed, nothing was broken: {refused}"))
            raise Inconclusive(refused)
        self._last_written = self._clock.monotonic()
        return entry

    def keep(self) -> None:
        """What is still there stays on purpose: the cluster's copy says so, and tells how to take it away one day."""
        if self._copy.parts:
            self._copy.publish(self.entries, kept=True)

    def undo_all(self, actions: Mapping[str, UndoAction], *, after: int = 0) -> None:
        """Take back, in reverse, what is pending and has a higher id than ``after``.

        Raises UndoFailed naming every entry that could not be.
        """
        take_back(self.pending(after), self._cluster, actions, self._clock, self._mark)
        if not self.pending():
            self._copy.withdraw()

    def _mark(self, entry: UndoEntry) -> None:
        self._entries[entry.id] = entry
        # What is done is done: a mark that is missing costs an undo that finds nothing to do, while an error here would
        # stand in for those of the undos that failed.
        with suppress(OSError):
            self._append(entry)
        if self._copy.parts and self.pending():
            with suppress(ApiError):
                self._copy.publish(self.entries)

    def _append(self, entry: UndoEntry) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        append_line(self._file, self._origin, entry)


def append_line(file: Path, origin: Origin, entry: UndoEntry) -> None:
    """Write an entry to a journal on disk; it is safe when this returns. Raises OSError."""
    with file.open("ab+") as stream:
        if not stream.tell():
            # A file is there after a power cut only if its folder says so, and that is as lasting as the folder above.
            _sync_folders(file)
        # A line that a crash or a full disk has cut must not swallow this one.
        if stream.tell() and not _ends_with_newline(stream):
            stream.write(b"\n")
        stream.write(encode(origin, entry))
        stream.flush()
        os.fsync(stream.fileno())


def take_back(
    entries: Sequence[UndoEntry],
    cluster: Cluster,
    actions: Mapping[str, UndoAction],
    clock: Clock,
    mark: Callable[[UndoEntry], None],
) -> None:
    """Take back entries in reverse and ``mark`` each with what became of it. Raises UndoFailed naming those that
    could not be."""
    failures: list[str] = []
    deadline = clock.monotonic() + UNDONE

    def undo(entry: UndoEntry) -> None:
        def look() -> tuple[str | None, str]:
            try:
                return _action(actions, entry.kind)(cluster, entry.parameters), ""
            except (NotYet, ApiError) as error:
                # Any answer at all: also a token that expired is refreshed a moment later. What is forbidden stays so.
                if isinstance(error, ApiError) and error.status == 403:
                    raise
                return None, str(error)
            except (KeyError, TypeError, ValueError) as error:
                # Parameters of another harness, or of somebody's hand: asking again would change nothing.
                reason = f"its parameters cannot be undone with: {type(error).__name__}: {error}"
                raise HarnessError(reason) from error

        try:
            # An API server that is away for a moment must not leave a fault behind; one that is away for good must
            # not be waited for once for every entry.
            seconds = max(UNDONE_AT_LEAST, deadline - clock.monotonic())
            wait_until(f"undo of {entry.kind}", look, seconds, clock, every=1.0)
        except HarnessError as error:
            failures.append(f"{entry.description}: {error}")
            mark(replace(entry, state="failed", error=str(error)))
        else:
            mark(replace(entry, state="done", error=""))

    # An exit stack runs all of it in reverse, whatever is raised on the way: a bug in one undo stops no other.
    with ExitStack() as stack:
        for entry in entries:
            stack.callback(undo, entry)
    if failures:
        raise UndoFailed("; ".join(failures))


def read_journal(file: Path) -> list[UndoEntry]:
    """The entries of a journal on disk, each in its last state. Raises HarnessError for a newer format."""
    return list(decode(file.read_bytes()).entries) if file.exists() else []


def _action(actions: Mapping[str, UndoAction], kind: str) -> UndoAction:
    if kind not in actions:
        raise HarnessError(f"nothing here knows how to undo a {kind}")
    return actions[kind]


def _sync_folders(file: Path) -> None:
    sync_folder(file.parent)
    for folder in file.absolute().parents[1:]:
        # Those further up were mostly there before; whoever owns them may not let everybody look into them.
        with suppress(OSError):
            sync_folder(folder)


def _ends_with_newline(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"

"""Undo what dead runs left in a cluster, from any machine, alongside live runs and other sweeps.

A run is dead if its Lease is not renewed for the Lease's duration, or if it has none. The sweep takes over that Lease
before it changes anything: a run that was only suspended then notices and stops, and of two concurrent sweeps only one
proceeds. It then replays the run's undo journals in reverse, removes its namespaces, and deletes its journals and
Leases. The next sweep continues after an interruption.

Verbs needed in addition to those of ``leftovers``: in ``resilience-system`` configmaps get, patch, delete, leases get,
create, update, patch, delete; cluster-wide namespaces get, delete, pods list, delete; and those of the faults' undos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.protocol import Cluster
from harness.common.clock import Clock
from harness.common.errors import ApiError, HarnessError, UndoFailed
from harness.common.naming import COMPONENT_LABEL, RUN_LABEL
from harness.safety.cleanup.leftovers import FoundJournal, Leftovers, find_leftovers, unreadable
from harness.safety.leases.claim import RUN_COMPONENT, lease_name
from harness.safety.leases.lease import LeaseKeeper, find_lease, identity, release, take
from harness.safety.leases.liveness import LivenessWatch
from harness.safety.undo.belongings import NAMESPACE_KIND
from harness.safety.undo.cluster_copy import JournalCopy, delete_if_there, ensure_system_namespace
from harness.safety.undo.entry import UndoEntry
from harness.safety.undo.journal import UndoAction, append_line, undo_entries

LOOK_AGAIN = 1.0


@dataclass
class Survey:
    """The leftovers of dead runs, of live runs, those kept on purpose, and the unreadable journals on disk."""

    dead: list[Leftovers] = field(default_factory=list)
    live: list[Leftovers] = field(default_factory=list)
    kept: list[Leftovers] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which leftovers to remove: of all runs or of ``run``; ``force``: even if it is alive; ``kept``: kept ones too."""

    run: str = ""
    force: bool = False
    kept: bool = False


class Sweep:
    """One sweep of one cluster. ``progress`` receives one line per step."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        progress: Callable[[str], None],
        *,
        cluster_uid: str = "",
        files: Sequence[Path] = (),
        actions: Mapping[str, UndoAction],
    ) -> None:
        self._cluster, self._api, self._clock, self._progress = cluster, cluster.api, clock, progress
        self._uid, self._files = cluster_uid, files
        self._actions = actions

    def survey(self, wanted: Wanted) -> Survey:
        """Find all leftovers and decide which runs are dead. Takes up to a Lease's duration. Raises ApiError."""
        found = [each for each in self._find() if wanted.run in {"", each.run}]
        survey = Survey(kept=[each for each in found if each.kept and not wanted.kept])
        # An unreadable journal belongs to an unknown run, so it is not reported for a single one.
        survey.unreadable = [] if wanted.run else unreadable(self._files)
        open_ones = [each for each in found if each not in survey.kept]
        if wanted.force and wanted.run:
            survey.dead = open_ones
            return survey
        vigil = LivenessWatch(self._clock)
        while True:
            undecided = [each for each in open_ones if self._decide(each, vigil, survey) is None]
            if not undecided:
                return survey
            open_ones = undecided
            self._clock.sleep(LOOK_AGAIN)

    def undo_each(self, dead: Sequence[Leftovers], wanted: Wanted) -> list[str]:
        """Undo everything of dead runs. Return one line per failure; a failure in one run does not stop the others."""
        failures: list[str] = []
        for left in dead:
            try:
                failures += [f"{left.run}: {failure}" for failure in self.undo_entries(left, wanted)]
            except HarnessError as error:
                failures.append(f"{left.run}: {error}")
            except Exception as error:  # noqa: BLE001 - a bug in one fault's undo must not leave other runs' effects
                failures.append(f"{left.run}: {type(error).__name__}: {error}")
        return failures

    def undo_entries(self, left: Leftovers, wanted: Wanted) -> list[str]:
        """Undo everything of a dead run. Return one line per failure."""
        with self._taken_over(left, force=wanted.force) as held:
            if not held:
                self._progress(f"{left.run}: skipped, its Lease was renewed or taken over by another process")
                return []
            # Read again: the run may have written entries between the survey and its death.
            left = next((each for each in self._find() if each.run == left.run), left)
            journals = [each for each in left.journals if wanted.kept or not each.kept]
            newest_first = sorted(journals, key=_last_written, reverse=True)
            replays = [_Replay(self._cluster, each, kept=wanted.kept) for each in newest_first]
            spare = sorted(set(left.namespaces) - (set() if wanted.kept else left.retained_namespaces))
            failures = self._replay(replays) + self._namespaces(left.run, spare)
            if failures:
                # Removing a namespace may have removed the cause of a failure, so try once more.
                failures = self._replay(replays) + self._namespaces(left.run, spare)
            # After a failure the journals stay, so that the next sweep can try again.
            if not failures:
                self._forget(left, replays)
            return failures

    def _find(self) -> list[Leftovers]:
        return find_leftovers(self._api, self._files, self._uid)

    def _decide(self, left: Leftovers, vigil: LivenessWatch, survey: Survey) -> bool | None:
        lease = find_lease(self._api, lease_name(left.run))
        dead = vigil.is_dead(lease) if lease else True
        if dead is not None:
            (survey.dead if dead else survey.live).append(left)
        return dead

    @contextmanager
    def _taken_over(self, left: Leftovers, *, force: bool) -> Iterator[bool]:
        name, holder = lease_name(left.run), identity("a sweep")
        labels = {RUN_LABEL: left.run, COMPONENT_LABEL: RUN_COMPONENT}
        ensure_system_namespace(self._api)
        now = find_lease(self._api, name)
        # Changed since the survey: the run is alive after all, or another sweep has taken over.
        moved = now and (left.lease is None or (now.uid, now.renewed) != (left.lease.uid, left.lease.renewed))
        if (moved and not force) or not take(self._api, name, holder, labels, self._clock, over=now):
            yield False
            return
        with LeaseKeeper(self._api, holder, self._clock) as keeper:
            keeper.add(name)
            yield True

    def _replay(self, replays: Sequence[_Replay]) -> list[str]:
        failures: list[str] = []
        for replay in replays:
            if replay.problem:
                failures.append(replay.problem)
            pending = replay.pending
            try:
                undo_entries(pending, self._cluster, self._actions, self._clock, replay.mark)
            except UndoFailed as error:
                failures.append(str(error))
            for entry in map(replay.now, reversed(pending)):
                self._progress(f"{entry.description}: {entry.state}{f': {entry.error}' if entry.error else ''}")
        return failures

    def _namespaces(self, run: str, names: Sequence[str]) -> list[str]:
        """Remove namespaces that no journal records; their labels name the run."""
        entries = [
            UndoEntry(number, NAMESPACE_KIND, f"remove namespace {name}", {"name": name, "run": run})
            for number, name in enumerate(names, start=1)
        ]
        try:
            undo_entries(entries, self._cluster, self._actions, self._clock, lambda _: None)
        except UndoFailed as error:
            return [str(error)]
        return []

    def _forget(self, left: Leftovers, replays: Sequence[_Replay]) -> None:
        for replay in replays:
            replay.conclude()
        for seen in [lease_name(left.run), *(seen.name for seen in left.leases)]:
            found = find_lease(self._api, seen)
            # A new run may have taken the name in the meantime.
            if found and found.labels.get(RUN_LABEL) == left.run:
                release(self._api, found)


class _Replay:
    """A journal during its replay. The new state of each entry is written to the cluster copy and to the local file."""

    def __init__(self, cluster: Cluster, journal: FoundJournal, *, kept: bool) -> None:
        """``kept``: also undo what is kept on purpose."""
        self._kept = kept
        self._api, self._names = cluster.api, journal.copy.names if journal.copy else ()
        page = journal.copy.page if journal.copy else None
        self.problem = journal.copy.problem if journal.copy else ""
        self._entries = {entry.id: entry for entry in (page.entries if page else journal.pending)}
        self._file = journal.file
        self._origin = journal.origin
        parts = len(journal.copy.names) if journal.copy else 0
        self._copy = JournalCopy(cluster.api, self._origin, parts) if parts else None

    @property
    def pending(self) -> list[UndoEntry]:
        """The entries to undo."""
        return [entry for entry in self._open if self._kept or not entry.stays]

    @property
    def _open(self) -> list[UndoEntry]:
        return [entry for entry in self._entries.values() if entry.state != "done"]

    def conclude(self) -> None:
        """Delete the journal's copy in the cluster, or mark it as kept if an entry is kept. Raises ApiError."""
        if self._copy and self._open:
            self._copy.publish(list(self._entries.values()), kept=True)
            return
        for name in self._names:
            delete_if_there(self._api, name)

    def now(self, entry: UndoEntry) -> UndoEntry:
        """Return the entry in its latest state."""
        return self._entries[entry.id]

    def mark(self, entry: UndoEntry) -> None:
        """Write an entry's new state. Ignore a failed write: undo is idempotent, so the next sweep may repeat it."""
        self._entries[entry.id] = entry
        try:
            if self._file:
                append_line(self._file, self._origin, entry)
            if self._copy:
                self._copy.publish(list(self._entries.values()))
        except (OSError, ApiError):
            return


def _last_written(journal: FoundJournal) -> str:
    return max((entry.written for entry in journal.pending), default="")

"""Takes back what dead runs left in a cluster, from any machine, beside live runs and beside other sweeps.

A run is dead when its Lease stands still for the Lease's duration, or when it has none. Before anything is touched the
sweep takes that Lease over: a run that was only asleep finds out and stops, and of two sweeps one gets it. Then the
run's journals are replayed in reverse, its namespaces removed, and its journals and Leases deleted; whatever is
interrupted on the way is found again by the next sweep.

Verbs needed beside those of ``leftovers``: in ``resilience-system`` configmaps get, patch, delete, leases get, create,
update, patch, delete; cluster-wide namespaces get, delete, pods list, delete; and those of the faults' undos.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import registry
from harness.belongings import NAMESPACE_KIND
from harness.claim import RUN_COMPONENT, lease_name
from harness.clock import Clock
from harness.cluster.protocol import Cluster
from harness.errors import ApiError, HarnessError, UndoFailed
from harness.lease import LeaseKeeper, find_lease, identity, release, take
from harness.leftovers import FoundJournal, Leftovers, find_leftovers, unreadable
from harness.naming import COMPONENT_LABEL, RUN_LABEL
from harness.undo import UndoAction, append_line, take_back
from harness.undo_copy import JournalCopy, delete_if_there, ensure_system_namespace
from harness.undo_entry import UndoEntry
from harness.vigil import Vigil

LOOK_AGAIN = 1.0


@dataclass
class Survey:
    """What was found: of dead runs, of live ones, what stays on purpose, and journals on disk that say nothing."""

    dead: list[Leftovers] = field(default_factory=list)
    live: list[Leftovers] = field(default_factory=list)
    kept: list[Leftovers] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs are meant: all, or one; with ``force`` even when it lives; with ``kept`` what stays on purpose too."""

    run: str = ""
    force: bool = False
    kept: bool = False


class Sweep:
    """One sweep of one cluster. ``say`` tells in one line what happens."""

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        say: Callable[[str], None],
        *,
        cluster_uid: str = "",
        files: Sequence[Path] = (),
        actions: Mapping[str, UndoAction] | None = None,
    ) -> None:
        self._cluster, self._api, self._clock, self._say = cluster, cluster.api, clock, say
        self._uid, self._files = cluster_uid, files
        self._actions = registry.undo_actions() if actions is None else actions

    def survey(self, wanted: Wanted) -> Survey:
        """Find out what there is and which runs are dead; takes up to a Lease's duration. Raises ApiError."""
        found = [each for each in self._find() if wanted.run in {"", each.run}]
        survey = Survey(kept=[each for each in found if each.kept and not wanted.kept])
        # Whose they are is not known, so they may be anybody's but are nobody's in particular.
        survey.unreadable = [] if wanted.run else unreadable(self._files)
        open_ones = [each for each in found if each not in survey.kept]
        if wanted.force and wanted.run:
            survey.dead = open_ones
            return survey
        vigil = Vigil(self._clock)
        while True:
            undecided = [each for each in open_ones if self._decide(each, vigil, survey) is None]
            if not undecided:
                return survey
            open_ones = undecided
            self._clock.sleep(LOOK_AGAIN)

    def take_back_each(self, dead: Sequence[Leftovers], wanted: Wanted) -> list[str]:
        """Take back everything of dead runs. Returns what could not be, by run; nothing about one stops the others."""
        failures: list[str] = []
        for left in dead:
            try:
                failures += [f"{left.run}: {failure}" for failure in self.take_back(left, wanted)]
            except HarnessError as error:
                failures.append(f"{left.run}: {error}")
            except Exception as error:  # noqa: BLE001 - a bug in one fault's undo must not leave other runs' effects
                failures.append(f"{left.run}: {type(error).__name__}: {error}")
        return failures

    def take_back(self, left: Leftovers, wanted: Wanted) -> list[str]:
        """Take back everything of a dead run. Returns what could not be, in one line each."""
        with self._taken_over(left, force=wanted.force) as held:
            if not held:
                self._say(f"{left.run}: left to somebody else, who has taken it over meanwhile")
                return []
            # What it wrote between the survey's look at journals and its death is there now.
            left = next((each for each in self._find() if each.run == left.run), left)
            journals = [each for each in left.journals if wanted.kept or not each.kept]
            newest_first = sorted(journals, key=_last_written, reverse=True)
            replays = [_Replay(self._cluster, each) for each in newest_first]
            spare = sorted(set(left.namespaces) - (set() if wanted.kept else left.kept_namespaces))
            failures = self._replay(replays) + self._namespaces(left.run, spare)
            if failures:
                # What stood in the way may have gone with a namespace.
                failures = self._replay(replays) + self._namespaces(left.run, spare)
            if not failures:
                self._forget(left, journals)
            return failures

    def _find(self) -> list[Leftovers]:
        return find_leftovers(self._api, self._files, self._uid)

    def _decide(self, left: Leftovers, vigil: Vigil, survey: Survey) -> bool | None:
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
                take_back(pending, self._cluster, self._actions, self._clock, replay.mark)
            except UndoFailed as error:
                failures.append(str(error))
            for entry in map(replay.now, reversed(pending)):
                self._say(f"{entry.description}: {entry.state}{f': {entry.error}' if entry.error else ''}")
        return failures

    def _namespaces(self, run: str, names: Sequence[str]) -> list[str]:
        """Namespaces that no journal told of: their labels alone say whose they are."""
        entries = [
            UndoEntry(number, NAMESPACE_KIND, f"remove namespace {name}", {"name": name, "run": run})
            for number, name in enumerate(names, start=1)
        ]
        try:
            take_back(entries, self._cluster, self._actions, self._clock, lambda _: None)
        except UndoFailed as error:
            return [str(error)]
        return []

    def _forget(self, left: Leftovers, journals: Sequence[FoundJournal]) -> None:
        for journal in journals:
            for name in journal.copy.names if journal.copy else ():
                delete_if_there(self._api, name)
        for seen in [lease_name(left.run), *(seen.name for seen in left.leases)]:
            found = find_lease(self._api, seen)
            if found and found.labels.get(RUN_LABEL) == left.run:
                release(self._api, found)


class _Replay:
    """A journal while it is replayed; what becomes of each entry is written where it stands: in the cluster, and on
    this machine's disk."""

    def __init__(self, cluster: Cluster, journal: FoundJournal) -> None:
        page = journal.copy.page if journal.copy else None
        self.problem = journal.copy.problem if journal.copy else ""
        self._entries = {entry.id: entry for entry in (page.entries if page else journal.pending)}
        self._file = journal.file
        self._origin = journal.origin
        parts = len(journal.copy.names) if journal.copy else 0
        self._copy = JournalCopy(cluster.api, self._origin, parts) if parts else None

    @property
    def pending(self) -> list[UndoEntry]:
        """The entries that are not taken back."""
        return [entry for entry in self._entries.values() if entry.state != "done"]

    def now(self, entry: UndoEntry) -> UndoEntry:
        """The entry in its last state."""
        return self._entries[entry.id]

    def mark(self, entry: UndoEntry) -> None:
        """Write one entry's new state; where it cannot be written, the next sweep finds nothing to do."""
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

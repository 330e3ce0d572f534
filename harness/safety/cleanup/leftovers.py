"""Find what runs have in a cluster: undo journals, Leases and namespaces; and undo journals on the local disk.

Verbs needed: in ``resilience-system`` configmaps list, leases list; cluster-wide namespaces list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import LEASES, NAMESPACES
from harness.common.errors import HarnessError
from harness.common.naming import COMPONENT_LABEL, MANAGED_BY, RUN_LABEL, SYSTEM_NAMESPACE
from harness.safety.leases.claim import LOCK_COMPONENT, RUN_COMPONENT
from harness.safety.leases.lease import LeaseSnapshot
from harness.safety.undo.cluster_copy import FoundCopy, find_copies
from harness.safety.undo.entry import Origin, Page, UndoEntry, decode

MANAGED = ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())


@dataclass(frozen=True, slots=True)
class FoundJournal:
    """One undo journal of a run: its pending entries, its copy in the cluster and its file on disk."""

    origin: Origin
    pending: tuple[UndoEntry, ...]
    copy: FoundCopy | None = None
    file: Path | None = None

    @property
    def kept(self) -> bool:
        """Whether everything that it would remove is kept on purpose."""
        marked = self.copy is not None and self.copy.kept
        return marked or (bool(self.pending) and all(entry.stays for entry in self.pending))

    def stays(self, entry: UndoEntry) -> bool:
        """Return whether the object that an entry would remove is kept on purpose."""
        return self.kept or entry.stays


@dataclass
class Leftovers:
    """Everything that one run has in the cluster, and its journals on disk."""

    run: str
    journals: list[FoundJournal] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    leases: list[LeaseSnapshot] = field(default_factory=list)

    @property
    def lease(self) -> LeaseSnapshot | None:
        """The run's own Lease. The run is alive while it is renewed."""
        return next((seen for seen in self.leases if seen.labels.get(COMPONENT_LABEL) == RUN_COMPONENT), None)

    @property
    def lock(self) -> LeaseSnapshot | None:
        """The exclusive lock on the cluster, if the run holds it."""
        return next((seen for seen in self.leases if seen.labels.get(COMPONENT_LABEL) == LOCK_COMPONENT), None)

    @property
    def retained_namespaces(self) -> set[str]:
        """The namespaces that are kept on purpose."""
        entries = [entry for journal in self.journals for entry in journal.pending if journal.stays(entry)]
        return {str(entry.parameters.get("name")) for entry in entries if entry.kind == "namespace"}

    @property
    def kept(self) -> bool:
        """Whether everything found is kept on purpose."""
        journals = all(journal.kept for journal in self.journals) and bool(self.journals)
        return journals and not self.leases and set(self.namespaces) <= self.retained_namespaces

    def lines(self) -> list[str]:
        """Describe each leftover in one line."""
        entries = [
            f"{entry.description} ({entry.state}{f': {entry.error}' if entry.error else ''}; "
            f"{'kept on purpose' if journal.stays(entry) else f'expires {entry.expires}'})"
            for journal in self.journals
            for entry in journal.pending
        ]
        problems = [journal.copy.problem for journal in self.journals if journal.copy and journal.copy.problem]
        named = {str(entry.parameters.get("name")) for journal in self.journals for entry in journal.pending}
        spare = [f"namespace {name}, in no undo journal" for name in self.namespaces if name not in named]
        return entries + problems + spare + [f"Lease {seen.name} held by {seen.holder}" for seen in self.leases]


def find_leftovers(api: KubeApi, files: Iterable[Path], cluster_uid: str) -> list[Leftovers]:
    """Return the leftovers of every run, sorted by run. ``files`` are undo journals on disk. Raises ApiError."""
    found: dict[str, Leftovers] = {}

    def of(run: str) -> Leftovers:
        return found.setdefault(run, Leftovers(run))

    on_disk = _on_disk(files, cluster_uid)
    # Leases are listed last: a run that starts during this scan creates its Lease first, and must not seem dead.
    for copy in find_copies(api):
        # A copy that cannot be read has no origin, but must still be reported.
        origin = copy.page.origin or Origin(copy.run, copy.names[0])
        file, _ = on_disk.pop((copy.run, origin.journal), (None, None))
        of(copy.run).journals.append(FoundJournal(origin, _pending(copy.page), copy, file))
    for (run, name), (file, page) in on_disk.items():
        if _pending(page):
            of(run).journals.append(FoundJournal(Origin(run, name, cluster_uid), _pending(page), None, file))
    for item in api.list(NAMESPACES, None, f"{MANAGED},{RUN_LABEL}").items:
        of(item["metadata"]["labels"][RUN_LABEL]).namespaces.append(item["metadata"]["name"])
    for item in api.list(LEASES, SYSTEM_NAMESPACE, f"{MANAGED},{RUN_LABEL}").items:
        of(item["metadata"]["labels"][RUN_LABEL]).leases.append(LeaseSnapshot.of(item))
    return [found[run] for run in sorted(found)]


def unreadable(files: Iterable[Path]) -> list[str]:
    """Return the journals on disk that cannot be read, with the reason. Their runs are unknown."""
    found = []
    for file in files:
        try:
            decode(file.read_bytes())
        except (OSError, HarnessError) as error:
            found.append(f"{file}: {error}")
    return found


def _pending(page: Page) -> tuple[UndoEntry, ...]:
    return tuple(entry for entry in page.entries if entry.state != "done")


def _on_disk(files: Iterable[Path], cluster_uid: str) -> dict[tuple[str, str], tuple[Path, Page]]:
    found = {}
    for file in files:
        try:
            page = decode(file.read_bytes())
        except (OSError, HarnessError):
            # `unreadable` reports these.
            continue
        # A journal without a cluster UID must not be replayed: it may belong to another cluster.
        if page.origin and cluster_uid and page.origin.cluster == cluster_uid:
            found[page.origin.run, page.origin.journal] = (file, page)
    return found

"""What runs have in a cluster: journals of effects, Leases, namespaces; and journals on this machine's disk.

Verbs needed: in ``resilience-system`` configmaps list, leases list; cluster-wide namespaces list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.claim import LOCK_COMPONENT, RUN_COMPONENT
from harness.cluster.api import KubeApi
from harness.cluster.resources import LEASES, NAMESPACES
from harness.errors import HarnessError
from harness.lease import Seen
from harness.naming import COMPONENT_LABEL, MANAGED_BY, RUN_LABEL, SYSTEM_NAMESPACE
from harness.undo_copy import FoundCopy, find_copies
from harness.undo_entry import Origin, Page, UndoEntry, decode

MANAGED = ",".join(f"{key}={value}" for key, value in MANAGED_BY.items())


@dataclass(frozen=True, slots=True)
class FoundJournal:
    """One journal of a run: what is still to be taken back, and where it is written."""

    origin: Origin
    pending: tuple[UndoEntry, ...]
    copy: FoundCopy | None = None
    file: Path | None = None

    @property
    def kept(self) -> bool:
        """Whether what it would take back stays on purpose."""
        return self.copy is not None and self.copy.kept


@dataclass
class Leftovers:
    """Everything of one run."""

    run: str
    journals: list[FoundJournal] = field(default_factory=list)
    namespaces: list[str] = field(default_factory=list)
    leases: list[Seen] = field(default_factory=list)

    @property
    def lease(self) -> Seen | None:
        """The run's own Lease: while it is renewed, the run lives."""
        return next((seen for seen in self.leases if seen.labels.get(COMPONENT_LABEL) == RUN_COMPONENT), None)

    @property
    def lock(self) -> Seen | None:
        """The Lease by which it has the cluster to itself."""
        return next((seen for seen in self.leases if seen.labels.get(COMPONENT_LABEL) == LOCK_COMPONENT), None)

    @property
    def kept_namespaces(self) -> set[str]:
        """The namespaces that stay on purpose."""
        entries = [entry for journal in self.journals if journal.kept for entry in journal.pending]
        return {str(entry.parameters.get("name")) for entry in entries if entry.kind == "namespace"}

    @property
    def kept(self) -> bool:
        """Whether nothing is there but what stays on purpose."""
        journals = all(journal.kept for journal in self.journals) and bool(self.journals)
        return journals and not self.leases and set(self.namespaces) <= self.kept_namespaces

    def lines(self) -> list[str]:
        """What there is, in one line each."""
        entries = [
            f"{entry.description} ({entry.state}{f': {entry.error}' if entry.error else ''}; expires {entry.expires})"
            for journal in self.journals
            for entry in journal.pending
        ]
        problems = [journal.copy.problem for journal in self.journals if journal.copy and journal.copy.problem]
        named = {str(entry.parameters.get("name")) for journal in self.journals for entry in journal.pending}
        spare = [f"namespace {name}, of which no journal tells" for name in self.namespaces if name not in named]
        return entries + problems + spare + [f"Lease {seen.name} of {seen.holder}" for seen in self.leases]


def find_leftovers(api: KubeApi, files: Iterable[Path], cluster_uid: str) -> list[Leftovers]:
    """What there is of every run, sorted by run. ``files`` are journals on disk. Raises ApiError."""
    found: dict[str, Leftovers] = {}

    def of(run: str) -> Leftovers:
        return found.setdefault(run, Leftovers(run))

    on_disk = _on_disk(files, cluster_uid)
    # Leases last: a run that begins meanwhile has its Lease before anything else, and must not seem to have none.
    for copy in find_copies(api):
        origin = copy.page.origin or Origin(copy.run, copy.names[0])
        file, _ = on_disk.pop((copy.run, origin.journal), (None, None))
        of(copy.run).journals.append(FoundJournal(origin, _pending(copy.page), copy, file))
    for (run, name), (file, page) in on_disk.items():
        if _pending(page):
            of(run).journals.append(FoundJournal(Origin(run, name, cluster_uid), _pending(page), None, file))
    for item in api.list(NAMESPACES, None, f"{MANAGED},{RUN_LABEL}").items:
        of(item["metadata"]["labels"][RUN_LABEL]).namespaces.append(item["metadata"]["name"])
    for item in api.list(LEASES, SYSTEM_NAMESPACE, f"{MANAGED},{RUN_LABEL}").items:
        of(item["metadata"]["labels"][RUN_LABEL]).leases.append(Seen.of(item))
    return [found[run] for run in sorted(found)]


def unreadable(files: Iterable[Path]) -> list[str]:
    """The journals on disk that cannot be read, each with the reason: of which run they are is not known then."""
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
            continue
        # A journal that does not say of which cluster it is must not be replayed on the wrong one.
        if page.origin and cluster_uid and page.origin.cluster == cluster_uid:
            found[page.origin.run, page.origin.journal] = (file, page)
    return found

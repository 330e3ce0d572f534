"""The changes of one experiment in a cluster: journal them before they are made, and undo them at the end.

A site owns the undo journal (which also contains the namespaces), the check for leftovers, and the dead-man switch for
faults on machines. Objects created for the experiment are deleted last, after all effects are undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from harness.cluster.kube import namespaces
from harness.cluster.kube.client import Object
from harness.cluster.kube.ownership import Ownership
from harness.cluster.kube.permissions import defined_by
from harness.cluster.kube.resources import WORKLOADS
from harness.cluster.nodes.control import NodeControl
from harness.common.errors import (
    ApiError,
    CapabilityMissing,
    ClusterBroken,
    HarnessError,
    LeftBehind,
    TimedOut,
    UndoFailed,
)
from harness.common.interrupts import deferred
from harness.common.timeouts import EFFECT_GRACE, NODES_WHOLE, RESIDUE_GONE
from harness.engine.options import Keep
from harness.engine.steps.apply_order import intercepts, is_custom
from harness.engine.steps.clean_up import CleanUp
from harness.engine.steps.existing import ExistingNamespace
from harness.engine.steps.run import Run
from harness.experiment import registry
from harness.experiment.declaration import Experiment
from harness.experiment.isolation.layout import is_namespace
from harness.model.timeline import Victim
from harness.safety.cleanup.deadman import DeadMan
from harness.safety.cleanup.residue import LeakCheck, Scope
from harness.safety.undo import belongings
from harness.safety.undo.field_owners import record_owners
from harness.safety.undo.journal import Journal


class Site:
    """The site of one experiment. ``notes`` go to its record; ``keep`` decides at the end whether all is kept.

    ``clean_up`` collects the errors of ``undo`` and ``close``. ``existing`` is the namespace of an experiment that
    creates none."""

    def __init__(self, run: Run, experiment: Experiment, folder: Path) -> None:
        self.notes: list[str] = []
        self.existing = ExistingNamespace(run, experiment) if experiment.existing else None
        self.clean_up = CleanUp()
        self._file = folder / "undo.jsonl"
        self.keep: Callable[[], bool] = lambda: False
        self.journal = Journal(
            run.cluster,
            self._file,
            run.id,
            run.unique_name(experiment),
            run.clock,
            cluster_uid=run.cluster_uid,
            ttl=experiment.phases.total + EFFECT_GRACE,
            refused=self.refused,
        )
        self._run, self._experiment = run, experiment
        # Used by a sweep after this run has died. A dead run has not passed, so on-failure keeps like always.
        self._kept_if_dead = run.keep is not Keep.NEVER
        self._api, self._clock = run.cluster.api, run.clock
        # Number of the journal entries for created objects; those after them are effects of faults.
        self._created = 0
        # The same for the last namespace; those between are removed while the namespaces still exist.
        self._places = 0
        self._leaks: LeakCheck | None = None
        self._machines_affected = False
        self._dead_man: DeadMan | None = None

    def refused(self) -> str | None:
        """Return why no more faults may be injected, or None. Reads an existing namespace again, for its opt-in."""
        return self._run.halted() or (self.existing.look() if self.existing else None)

    def use_existing(self, existing: ExistingNamespace, progress: Callable[[str], None]) -> None:
        """Use an existing namespace until the end of the experiment. Raises ClusterRefused, ApiError, TimedOut."""
        progress(f"using the existing namespace {existing.name}, nothing is deployed")
        # Entered first, so that it is left last: its lock is held until everything is undone and compared.
        self.clean_up.enter_context(existing)
        self.take_snapshot([])
        self.clean_up.callback(lambda: self.close([], progress))

    def take_snapshot(self, namespaces: Sequence[str]) -> None:
        """Take the snapshot for the leftover check, before these namespaces are created. Raises ApiError, TimedOut."""
        strict = self._run.cluster.ownership is Ownership.OWNED
        apart = self._experiment.existing
        scope = Scope(self._run.id, self._experiment.label, tuple(namespaces), strict=strict, apart=apart)
        nodes: NodeControl | None = None
        with suppress(CapabilityMissing, ClusterBroken):
            nodes = self._run.cluster.nodes()
        self._leaks = LeakCheck(self._api, scope, self._clock, nodes)

    def claim_objects(self, objects: Sequence[Object]) -> list[Object]:
        """Return the objects to apply, marked as those of this run: see ``belongings.claim_objects``."""
        # Namespaces are not applied: each has its own journal entry.
        replaced = [item for item in objects if is_namespace(item)]
        applied = [item for item in objects if not is_namespace(item)]
        return replaced + belongings.claim_objects(
            self._api,
            self.journal,
            applied,
            self._run.id,
            self._experiment.label,
            stays=self._kept_if_dead,
            first=[item for item in applied if intercepts(item)],
        )

    def claim_first(self, objects: Sequence[Object], namespace: str) -> list[Object]:
        """Return the objects to apply, with those that are removed before the namespaces marked as those of this run.

        ``namespace`` is that of the objects that name none: see ``belongings.claim_first``."""
        first, marked = [], []
        for item in objects:
            own = item
            if intercepts(item) or is_custom(item):
                if self._is_inside(item, objects):
                    own = {**item, "metadata": {"namespace": namespace, **item["metadata"]}}
                first.append(own)
            marked.append(own)
        # Deleted in reverse order: first what could refuse the deletion of the others.
        first.sort(key=intercepts)
        claimed = belongings.claim_first(
            self.journal, marked, first, self._run.id, self._experiment.label, stays=self._kept_if_dead
        )
        self._created = len(self.journal.entries)
        return claimed

    def _is_inside(self, item: Object, objects: Sequence[Object]) -> bool:
        """Return whether a custom resource is namespaced, by its definition in the workload or in the cluster."""
        if not is_custom(item):
            return False
        kind = (item["apiVersion"], item["kind"])
        defined = {(found.group_version, found.kind): found for found in defined_by(objects)}
        return (defined[kind] if kind in defined else self._api.discover(*kind)).namespaced

    def make_namespace(self, name: str, make: Callable[[str], None]) -> None:
        """Write a namespace to the journal, then call ``make`` with the claim that marks it as created by this run."""
        with deferred():
            make(belongings.claim_namespace(self.journal, name, self._run.id, stays=self._kept_if_dead))
        self._created = self._places = len(self.journal.entries)

    def keep_owners(self, victims: Sequence[Victim]) -> None:
        """Journal the owners of fields that a fault is about to change in an existing namespace. Raises ApiError."""
        names = [f"{victim.kind.lower()}/{victim.name}" for victim in victims if victim.kind.lower() in WORKLOADS]
        if self.existing:
            record_owners(self._api, self.journal, self.existing.name, names)

    def guard_machines(self) -> None:
        """Start the dead-man switch before a fault on machines, which undoes it even if this process dies.

        Raises ClusterBroken if the machines cannot be inspected, ApiError."""
        self._machines_affected = True
        if self._dead_man is None and self._machines_outlive_run():
            folder = self._run.store.folder
            self._dead_man = DeadMan(self._run.cluster, self._run.id, folder, self._file, self._created)

    def _machines_outlive_run(self) -> bool:
        try:
            return self._run.cluster.nodes().outlive_run
        except CapabilityMissing:
            return False

    @property
    def in_effect(self) -> bool:
        """Whether any effect is not undone yet."""
        return bool(self.journal.pending(self._created))

    @property
    def undo_failed(self) -> UndoFailed | None:
        """The failed undos, or None. Read from the journal: an undo that failed may have succeeded in a later try."""
        failed = [f"{entry.description}: {entry.error}" for entry in self.journal.entries if entry.state == "failed"]
        return UndoFailed("; ".join(failed)) if failed else None

    def undo(self, entries: range | None = None) -> None:
        """Undo every effect, or those of these journal entries. Raises UndoFailed."""
        with deferred(), self.clean_up.collecting():
            self.journal.undo_all(registry.undo_actions(), after=self._created, among=entries)

    def close(self, made: Sequence[str], progress: Callable[[str], None]) -> None:
        """Delete or keep the namespaces ``made``, then check for leftovers. Raises UndoFailed, TimedOut."""
        kept = False
        try:
            with self.clean_up.collecting():
                kept = self._keep_or_remove(made, progress)
        except HarnessError:
            # Also record what is left, in addition to the error.
            with suppress(LeftBehind, ApiError, TimedOut):
                self._check_leftovers(kept=False)
            raise
        finally:
            self._dismiss(kept=kept)
        self._check_leftovers(kept=kept)

    def _keep_or_remove(self, made: Sequence[str], progress: Callable[[str], None]) -> bool:
        """Keep or delete the namespaces and undo all effects. Return whether the namespaces were kept."""
        if made and self.keep():
            progress(f"kept: namespace {', '.join(made)}")
            # Effects are never kept: if this undo fails, the journal is not marked as kept, and a sweep retries.
            self.undo()
            self.journal.keep()
            return True
        try:
            if made:
                progress("cleaning up")
                try:
                    self._remove_first()
                finally:
                    with self.clean_up.collecting():
                        self._remove(made)
        finally:
            # Also retries failed undos: their objects may be gone together with the namespace.
            try:
                self.journal.undo_all(registry.undo_actions())
            finally:
                if self.existing:
                    self.existing.in_effect = bool(self.journal.pending())
        return False

    def _dismiss(self, *, kept: bool) -> None:
        """Stop the dead-man switch; if any undo failed, leave it running and let it retry now."""
        if self._dead_man is None:
            return
        if self.journal.pending(self._created if kept else 0):
            self._dead_man.take_over()
        else:
            self._dead_man.stand_down()

    def _remove(self, names: Sequence[str]) -> None:
        for name in names[1:]:
            # Delete all in parallel; the wait below repeats a request that failed.
            with suppress(ApiError):
                namespaces.request_deletion(self._api, name)
        self._remove_each(names)

    def _remove_first(self) -> None:
        """Remove the objects of ``claim_first``."""
        if self._created > self._places:
            with self.clean_up.collecting():
                self.journal.undo_all(registry.undo_actions(), after=self._places)

    def _remove_each(self, names: Sequence[str]) -> None:
        if not names:
            return
        try:
            with self.clean_up.collecting():
                namespaces.remove_namespace(self._api, names[-1], self._clock)
        finally:
            # Even if that deletion failed or was interrupted.
            self._remove_each(names[:-1])

    def _check_leftovers(self, *, kept: bool) -> None:
        if self._leaks is None:
            return
        within = NODES_WHOLE if self._machines_affected else RESIDUE_GONE
        checks: list[Callable[[], list[str]]] = [partial(self._leaks.nothing_left, within, kept=kept)]
        if self.existing:
            checks.append(self.existing.nothing_left)
        left: list[LeftBehind] = []
        for check in checks:
            try:
                self.notes += check()
            except LeftBehind as error:
                self.notes.append(str(error))
                left.append(error)
        if left:
            raise left[0]

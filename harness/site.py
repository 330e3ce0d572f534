"""An experiment's place in a cluster: what it makes there and what it breaks, written down before, and taken away.

A site has the undo journal, in which the namespaces stand too, the look around before and after, and the dead-man
switch for effects on machines. What is made for the experiment goes last, after every effect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from harness import arrange, belongings, registry
from harness.cluster.api import Object
from harness.cluster.nodes import NodeControl
from harness.deadman import MACHINES_ARE_HERE, DeadMan
from harness.errors import ApiError, CapabilityMissing, ClusterBroken, HarnessError, LeftBehind, TimedOut
from harness.experiment import Experiment
from harness.interrupts import deferred
from harness.residue import LeakCheck, Scope
from harness.run import Run
from harness.timeouts import EFFECT_GRACE, NODES_WHOLE, RESIDUE_GONE
from harness.undo import Journal


class Site:
    """One experiment's. ``notes`` are for its record; ``keep`` tells, at the end, whether it all stays on purpose."""

    def __init__(self, run: Run, experiment: Experiment, folder: Path, namespace: str) -> None:
        self.notes: list[str] = []
        self._file = folder / "undo.jsonl"
        self.keep: Callable[[], bool] = lambda: False
        self.journal = Journal(
            run.cluster,
            self._file,
            run.id,
            namespace,
            run.clock,
            cluster_uid=run.cluster_uid,
            ttl=sum(experiment.phases.model_dump().values()) + EFFECT_GRACE,
            refused=run.halted,
        )
        self._run, self._experiment = run, experiment
        self._api, self._clock = run.cluster.api, run.clock
        # The entries up to this one are what was made for the experiment.
        self._arranged = 0
        self._leaks: LeakCheck | None = None
        self._on_machines = False
        self._dead_man: DeadMan | None = None

    def look_around(self, namespaces: Sequence[str]) -> None:
        """See what there is before these namespaces are made. Raises ApiError, TimedOut."""
        strict = self._run.cluster.provider != "kubeconfig"
        scope = Scope(self._run.id, self._experiment.name, tuple(namespaces), strict=strict)
        nodes: NodeControl | None = None
        with suppress(CapabilityMissing, ClusterBroken):
            nodes = self._run.cluster.nodes()
        self._leaks = LeakCheck(self._api, scope, self._clock, nodes)

    def claim_objects(self, objects: Sequence[Object]) -> list[Object]:
        """The objects as they may be applied: see ``belongings.claim_objects``."""
        return belongings.claim_objects(self._api, self.journal, objects, self._run.id, self._experiment.name)

    def make_namespace(self, name: str, make: Callable[[], None]) -> None:
        """Journal a namespace, then let it be made."""
        with deferred():
            belongings.claim_namespace(self.journal, name, self._run.id)
            make()
        self._arranged = len(self.journal.entries)

    def guard_machines(self) -> None:
        """What happens from now on is done to machines: take it back even when this process is gone."""
        self._on_machines = True
        if self._dead_man is None and self._run.cluster.provider in MACHINES_ARE_HERE:
            folder = self._run.store.folder
            self._dead_man = DeadMan(self._run.cluster, self._run.id, folder, self._file, self._arranged)

    @property
    def broken(self) -> bool:
        """Whether an effect is there that is not taken back."""
        return bool(self.journal.pending(self._arranged))

    def undo(self) -> None:
        """Take back every effect. Raises UndoFailed."""
        with deferred():
            self.journal.undo_all(registry.undo_actions(), after=self._arranged)

    def leave(self, made: Sequence[str], say: Callable[[str], None]) -> None:
        """Take everything away, or keep it, and look whether anything is left. Raises UndoFailed, TimedOut."""
        kept = False
        # No exit stack: it drops the context of an error, in which the interruption stands that led here.
        try:
            if made and self.keep():
                say(f"kept: namespace {', '.join(made)}")
                # An effect is never kept: while one is there, the journal is for the sweep to take back.
                self.undo()
                self.journal.keep()
                kept = True
            else:
                self._clean_up(made, say)
        except HarnessError:
            # What it was that stays is told beside why it stays.
            with suppress(LeftBehind, ApiError, TimedOut):
                self._nothing_left(kept=False)
            raise
        finally:
            self._dismiss(kept=kept)
        self._nothing_left(kept=kept)

    def _clean_up(self, made: Sequence[str], say: Callable[[str], None]) -> None:
        try:
            if made:
                say("cleaning up")
                self._remove(made)
        finally:
            # Again what could not be taken back, too: it may have gone with a namespace.
            self.journal.undo_all(registry.undo_actions())

    def _dismiss(self, *, kept: bool) -> None:
        """Let the dead-man switch go, or, when anything could not be taken back, let it go on trying at once."""
        if self._dead_man is None:
            return
        if self.journal.pending(self._arranged if kept else 0):
            self._dead_man.take_over()
        else:
            self._dead_man.stand_down()

    def _remove(self, names: Sequence[str]) -> None:
        for name in names[1:]:
            # All go at the same time; the wait below asks again where the API did not answer.
            with suppress(ApiError):
                arrange.ask_to_go(self._api, name)
        self._remove_each(names)

    def _remove_each(self, names: Sequence[str]) -> None:
        if not names:
            return
        try:
            arrange.remove_namespace(self._api, names[-1], self._clock)
        finally:
            # Whatever became of that one. What is raised here has its error, and the interruption, as its context.
            self._remove_each(names[:-1])

    def _nothing_left(self, *, kept: bool) -> None:
        if self._leaks is None:
            return
        try:
            self.notes += self._leaks.nothing_left(NODES_WHOLE if self._on_machines else RESIDUE_GONE, kept=kept)
        except LeftBehind as error:
            self.notes.append(str(error))
            raise

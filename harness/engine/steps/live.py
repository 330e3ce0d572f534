"""A running experiment: the steps that experiment files and Python tests have in common.

A live experiment owns a namespace, a timeline and an undo journal. It is a context manager: on exit, also after an
error, the effects are undone, load and observers are stopped, and the namespace is deleted (unless kept).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from harness.cluster.kube.client import Object
from harness.common.errors import Inconclusive, UndoFailed
from harness.common.interrupts import deferred
from harness.common.timeouts import (
    EVIDENCE_EVERY,
    LOAD_READY,
    LOOK_EVERY,
    NUMBERS_KNOWN,
    SCRAPES_LOOK_EVERY,
)
from harness.engine.steps.arm import Arm
from harness.engine.steps.deployment import deploy_arms, lost_namespace
from harness.engine.steps.effects import Effects
from harness.engine.steps.prober import TargetProber
from harness.engine.steps.reach import Finder
from harness.engine.steps.run import Run
from harness.engine.steps.site import Site
from harness.experiment.declaration import Experiment
from harness.experiment.load import Load
from harness.experiment.phases import Length
from harness.experiment.places import homes_of
from harness.faults.base import Fault, FaultContext
from harness.model.phase_names import RECOVERY
from harness.model.timeline import Phase, Timeline
from harness.objectives.base import Objective
from harness.probes.base import SnapshotProbe
from harness.probes.prometheus.ready import ScrapeGate
from harness.traffic.prober.declaration import Probing

CONTROL = "control"

_Entered = TypeVar("_Entered")


class LiveExperiment:
    """The steps of one experiment against the cluster of a run."""

    def __init__(self, run: Run, experiment: Experiment, folder: Path) -> None:
        self.experiment = experiment
        self.folder = folder
        self.namespace = run.namespace_of(experiment)
        self.timeline = Timeline(run.clock.monotonic(), run.clock.wall(), calibration=run.calibration)
        self.site = Site(run, experiment, folder)
        self.clean_up = self.site.clean_up
        self._run = run
        self._clock = run.clock
        self._cluster = run.cluster
        # Seeded with the name of the experiment, not of the twin: both must choose the same victims.
        rng = run.random(experiment.draw)
        self._context = FaultContext(run.cluster, self.namespace, rng, run.clock, self.site.journal)
        self._arms = [Arm(run, experiment, folder=folder, timeline=self.timeline)]
        self.effects = Effects(
            run,
            self.site,
            self.timeline,
            experiment=lambda: self.experiment,
            context_of=self._context_of,
            namespaces=lambda: self._arms[0].namespaces,
            progress=self.progress,
        )
        self._prober: TargetProber | None = None
        self._ends: list[Callable[[], str | None]] = [run.halted]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not interrupt undo and cleanup: it takes effect after them.
        with self.clean_up.collecting(), deferred():
            self.clean_up.run(error)

    def progress(self, text: str) -> None:
        """Print one line of progress with the title of the experiment."""
        self._run.progress(f"{self.experiment.title}: {text}")

    @property
    def now(self) -> float:
        """The current time in seconds on the timeline."""
        return self.timeline.offset(self._clock.monotonic())

    def end_when(self, look: Callable[[], str | None]) -> None:
        """Let every wait raise Inconclusive once ``look`` returns a reason.

        ``look`` is called a few times a second and must not block."""
        self._ends.append(look)

    def enter_context(self, context: AbstractContextManager[_Entered]) -> _Entered:
        """Enter a context until the end of the experiment. Contexts exit in reverse order, before cleanup."""
        return self.clean_up.enter_context(context)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces in use: those of the experiment, then those of its control arm."""
        return [name for arm in self._arms for name in (arm.namespaces if self.site.existing else arm.made)]

    def lost(self) -> str | None:
        """Return why a namespace was lost during the experiment or could not be checked, or None."""
        if self.site.existing and (why := self.site.existing.look()):
            return why
        return lost_namespace(self._cluster.api, self.namespaces)

    @property
    def notes(self) -> list[str]:
        """What was changed in the manifests to isolate them, one sentence each."""
        return self._arms[0].isolated.notes()

    def diagnosed(self) -> Iterator[tuple[str, str]]:
        """Yield each namespace in use with the folder for its diagnostics, relative to that of the experiment."""
        for arm, folder in zip(self._arms, ("", f"{CONTROL}/"), strict=False):
            yield from ((name, f"{folder}{inner}") for name, inner in arm.diagnosed() if name in self.namespaces)

    @property
    def control(self) -> Timeline | None:
        """The timeline of the control arm; None without one."""
        return self._arms[1].timeline if len(self._arms) > 1 else None

    def deploy(self, objects: Sequence[Object]) -> None:
        """Apply objects in the experiment's namespaces, wait until they are ready, and start the observers.

        A control arm is deployed at the same time. In an existing namespace nothing is applied. Raises Inconclusive."""
        if self.site.existing:
            self.end_when(self.site.existing.reason)
            self.site.use_existing(self.site.existing, self.progress)
            # A Job there may have ended long ago, in one way or the other.
            self._arms[0].isolate(self.experiment, [item for item in objects if item["kind"] != "Job"])
            self._arms[0].wait_ready()
        else:
            self._apply(objects)
        # Runs after load and observers have stopped and before the namespace is deleted; no-op if already undone.
        self.clean_up.callback(self.effects.undo)
        for arm in self._arms:
            self.enter_context(arm.watch())
        for arm in self._arms:
            arm.wait_watching()

    def _apply(self, objects: Sequence[Object]) -> None:
        self.progress("deploying")
        if self.experiment.control:
            control = Arm.control(self._run, self.experiment, folder=self.folder / CONTROL, beside=self.timeline)
            self._arms.append(control)
        deploy_arms(self.site, self._arms, self.experiment, objects, self.progress)

    def wait_known(self, objectives: Sequence[Objective]) -> None:
        """Wait up to NUMBERS_KNOWN seconds until controllers have reported every number that the objectives need.

        A number that stays unknown is left to its objective. Raises Inconclusive if an observer dies."""

        def unknown() -> str:
            return next(filter(None, (objective.unready(self.timeline) for objective in objectives)), "")

        if missing := unknown():
            self.progress(f"waiting up to {NUMBERS_KNOWN:g} s: {missing}")
            self.wait(NUMBERS_KNOWN, unless=lambda _: not unknown())
            if missing := unknown():
                self.progress(f"starting although a number is unknown: {missing}")

    def start_loads(self, loads: Mapping[str, Load]) -> None:
        """Start loads, by name, and wait until they reach their targets. Raises Inconclusive."""
        seconds = self.experiment.phases.total
        for arm in self._arms:
            for name, load in loads.items():
                self.enter_context(arm.start_load(name, load, seconds, self.site))
        for arm in self._arms:
            arm.wait_loaded()

    def start_prober(self, probings: Sequence[Probing]) -> None:
        """Start the prober, if ``probings`` is not empty, and wait for successful responses. Raises Inconclusive."""
        if not probings:
            return
        finder = Finder.of(self._run, self.namespace, self.experiment.file.parent, self._arms[0].within)
        prober = TargetProber(finder, probings, folder=self.folder, seconds=self.experiment.phases.total)
        self._prober = self.enter_context(prober)
        self._prober.wait_ready(LOAD_READY, self._run.go_on)
        self.end_when(self._prober.failure)

    def unscraped(self, gate: ScrapeGate | None) -> list[str]:
        """Return the targets for the queries of ``gate`` that Prometheus does not scrape yet."""
        return [one for arm in self._arms for one in arm.unscraped(gate)] if gate else []

    @contextmanager
    def phase(self, name: str, length: Length | None = None) -> Iterator[Phase]:
        """Mark a phase on the timeline: it lasts as long as the body. ``length`` is the planned one, if known."""
        self.progress(f"{name} {length}" if length else name)
        now = self._clock.monotonic()
        at_most = length.at_most if length and not length.fixed else None
        phase = Phase(name, self.timeline.offset(now), float("inf"), at_most)
        self.timeline.phases.append(phase)
        for arm in self._arms:
            arm.phase(name, now)
        try:
            yield phase
        finally:
            ended = replace(phase, end=self.timeline.offset(self._clock.monotonic()))
            self.timeline.phases[self.timeline.phases.index(phase)] = ended
            self.read_requests()

    def wait(
        self,
        seconds: float,
        meanwhile: Callable[[], None] | None = None,
        unless: Callable[[float], bool] | None = None,
    ) -> None:
        """Wait. Raises Inconclusive if an observer or the load dies, or for a reason of ``end_when``.

        ``unless`` is called a few times a second with the remaining seconds; if it returns true, the wait ends. It must
        not block. ``meanwhile`` may take some time and is called every EVIDENCE_EVERY seconds.
        """
        until = self._clock.monotonic() + seconds
        looked = self._clock.monotonic()
        while (left := until - self._clock.monotonic()) > 0:
            for dead in filter(None, self._failures()):
                raise Inconclusive(dead)
            if unless and unless(left):
                return
            if meanwhile and self._clock.monotonic() - looked >= EVIDENCE_EVERY:
                meanwhile()
                looked = self._clock.monotonic()
            self._clock.sleep(min(LOOK_EVERY, left))

    def has_all(self, objectives: Iterable[Objective]) -> bool:
        """Return whether every injection has evidence, and no objective waits for anything in the fault phase."""
        self.read_requests()
        proven = all(injection.proven for injection in self.timeline.injections)
        return proven and not any(objective.awaits(self.timeline) for objective in objectives)

    @property
    def undo_failed(self) -> UndoFailed | None:
        """The failed undos, or None."""
        return self.site.undo_failed

    def recover(
        self,
        objectives: Iterable[Objective],
        at_most: float,
        gate: ScrapeGate | None = None,
        decided: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run the recovery phase, at most ``at_most`` seconds.

        It ends early when no objective is pending, the effects of all faults have ended, and Prometheus scrapes all
        targets of ``gate``, including new pods. An effect that has not ended is recorded with its injection, so that
        the verdict cannot be HELD. A twin or a mutant does not wait for an objective that is BROKEN for certain, and
        ends at once when ``decided`` returns true.
        """
        objectives = list(objectives)
        with self.phase(RECOVERY, Length(at_least=0.0, at_most=at_most)):
            end = self._clock.monotonic() + at_most
            while (left := end - self._clock.monotonic()) > 0 and not decided():
                self.read_requests()
                if any(self._waits_for(objective) for objective in objectives):
                    self.wait(min(left, LOOK_EVERY))
                elif not self.effects.have_ended():
                    # This check sends requests, so it runs less often than the one for pending objectives.
                    self.wait(min(left, EVIDENCE_EVERY))
                elif self.unscraped(gate):
                    self.wait(min(left, SCRAPES_LOOK_EVERY))
                else:
                    break
            else:
                self.effects.have_ended()

    def _waits_for(self, objective: Objective) -> bool:
        if not objective.pending(self.timeline):
            return False
        return not (self.experiment.variant and objective.overdue(self.timeline))

    def look(self, probes: Iterable[SnapshotProbe]) -> None:
        """Run snapshot probes once."""
        probes = list(probes)
        for arm in self._arms:
            arm.look(probes)

    def stop(self) -> None:
        """Stop load, prober and observers: the timeline gets no further observations."""
        for arm in self._arms:
            arm.stop_load()
        if self._prober:
            self._prober.stop()
            self.read_requests()
        for arm in self._arms:
            arm.stop_watching()

    def read_requests(self) -> None:
        """Give the timeline the requests of the load and the prober so far."""
        for arm in self._arms:
            arm.read_requests()
        if self._prober:
            self.timeline.probes = self._prober.streams(self.timeline.origin)

    def _context_of(self, fault: Fault) -> FaultContext:
        """Return the context of a fault: in the namespace of the pods or objects that it refers to."""
        home = homes_of(fault, self.experiment.workload)[0]
        return replace(self._context, namespace=self._arms[0].place(home))

    def _failures(self) -> Iterator[str | None]:
        for arm in self._arms:
            yield from arm.failures()
        for look in self._ends:
            yield look()

"""An experiment while it happens: the steps that both an experiment file and a Python test are made of.

A live experiment owns a namespace, a timeline, an undo journal and a record. It is a context manager: whatever happens
inside, on leaving it the effects are undone, load and observers stopped, and the namespace is gone (unless kept).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from harness import registry
from harness.arm import Arm
from harness.cluster.api import Object
from harness.errors import ApiError, ClusterRefused, Inconclusive, UndoFailed
from harness.experiment import Experiment, Load
from harness.fault import Evidence, Fault, FaultContext
from harness.guard import check_reach
from harness.guard.blast import Strike, refusals
from harness.interrupts import deferred
from harness.objective import Objective
from harness.observation import RECOVERY, Injection, Interval, Phase, Timeline, Victim
from harness.probe import SnapshotProbe
from harness.prober.declaration import Probing
from harness.run import Run
from harness.site import Site
from harness.target_prober import TargetProber
from harness.timeouts import EVIDENCE_EVERY, EVIDENCE_LOOK, LOAD_READY, LOOK_EVERY

CONTROL = "control"

_Companion = TypeVar("_Companion")


class LiveExperiment:
    """The steps of one experiment against the cluster of a run."""

    def __init__(self, run: Run, experiment: Experiment, folder: Path) -> None:
        self.experiment = experiment
        self.folder = folder
        self.namespace = run.namespace_of(experiment)
        self.timeline = Timeline(run.clock.monotonic(), run.clock.wall(), calibration=run.calibration)
        self.site = Site(run, experiment, folder, self.namespace)
        self._run = run
        self._clock = run.clock
        self._cluster = run.cluster
        # Named after the experiment, not the twin: a twin must lose what its experiment survives the loss of.
        rng = run.random(experiment.name)
        self._context = FaultContext(run.cluster, self.namespace, rng, run.clock, self.site.journal)
        self._faults: list[Fault] = []
        self._in_effect: list[Strike] = []
        self._arms = [Arm(run, experiment, namespace=self.namespace, folder=folder, timeline=self.timeline)]
        self._prober: TargetProber | None = None
        self._ends: list[Callable[[], str | None]] = [run.halted]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C must not leave half of it behind: it counts when everything is taken back.
        with deferred():
            self._stack.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """One line of progress."""
        self._run.progress(f"{self.experiment.title}: {text}")

    @property
    def now(self) -> float:
        """This instant on the timeline."""
        return self.timeline.offset(self._clock.monotonic())

    def end_when(self, look: Callable[[], str | None]) -> None:
        """Let a reason that ``look`` gives end every wait with Inconclusive. Asked a few times a second: it must not
        block."""
        self._ends.append(look)

    def beside(self, companion: AbstractContextManager[_Companion]) -> _Companion:
        """Enter a context for the rest of the experiment; left before the namespace goes, in reverse order."""
        return self._stack.enter_context(companion)

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that it has made: its own, and then that of its control arm."""
        return [arm.namespace for arm in self._arms if arm.made]

    @property
    def control(self) -> Timeline | None:
        """What was seen of the control arm; None when there is none."""
        return self._arms[1].timeline if len(self._arms) > 1 else None

    def deploy(self, objects: Sequence[Object]) -> None:
        """Apply objects in the experiment's namespace, wait until they are ready, and watch; the same for a control
        arm, at the same time. Raises Inconclusive."""
        self.say("deploying")
        if self.experiment.control:
            self._arms.append(self._control_arm())
        self.site.look_around([arm.namespace for arm in self._arms])
        self._stack.callback(lambda: self.site.leave(self.namespaces, self.say))
        objects = self.site.claim_objects(objects)
        for arm in self._arms:
            self.site.make_namespace(arm.namespace, arm.make)
            arm.apply(objects)
        for arm in self._arms:
            arm.wait_ready(objects)
        # Undone before the namespace goes, after load and observers have stopped: unless it was undone on the way.
        self._stack.callback(self.undo)
        for arm in self._arms:
            self._stack.enter_context(arm.watch())
        for arm in self._arms:
            arm.wait_watching()

    def start_load(self, load: Load) -> None:
        """Start the load and wait until it reaches its target. Raises Inconclusive when it does not."""
        seconds = sum(self.experiment.phases.model_dump().values())
        for arm in self._arms:
            self._stack.enter_context(arm.start_load(load, seconds))
        for arm in self._arms:
            arm.wait_loaded()

    def start_prober(self, probings: Sequence[Probing]) -> None:
        """Start the prober, if there is anything to probe, and wait for good answers. Raises Inconclusive."""
        if not probings:
            return
        seconds = sum(self.experiment.phases.model_dump().values())
        self._prober = self.beside(
            TargetProber(
                self._cluster, self.namespace, probings, folder=self.folder, seconds=seconds, clock=self._clock
            )
        )
        self._prober.wait_ready(LOAD_READY, self._run.go_on)
        self.end_when(self._prober.failure)

    @contextmanager
    def phase(self, name: str, detail: str = "") -> Iterator[Phase]:
        """Mark a phase: everything seen in the body belongs to it."""
        self.say(f"{name} {detail}".strip())
        now = self._clock.monotonic()
        phase = Phase(name, self.timeline.offset(now), float("inf"))
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
        """Pass time, and end it with Inconclusive when an observer or the load dies, or as ``end_when`` was told.

        ``unless`` is asked a few times a second, given the seconds that are left, whether to end it at once; it must
        not block. ``meanwhile`` may take some time, and is called less often.
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

    def choose(self, fault: Fault) -> tuple[Fault, tuple[Victim, ...]]:
        """The fault as this cluster takes it, and whom it would hit. Raises Inconclusive when that is nobody,
        ClusterRefused when it would hit more than the experiment is allowed to."""
        check_reach(fault.kind, disruptive=fault.disruptive, allowed=self.experiment.disruptive)
        rendered = registry.render_fault(fault, self._cluster.image)
        return rendered, rendered.choose(self._context)

    def admit(self, chosen: Iterable[tuple[Fault, tuple[Victim, ...]]]) -> None:
        """Raises ClusterRefused with everything that the guard has against these faults, together with those that are
        still in effect."""
        strikes = [_strike(fault, victims) for fault, victims in chosen]
        run, safety = self._run, self.experiment.safety
        together = [*self._in_effect, *strikes]
        found = refusals(self._cluster.api, self.namespace, together, run.policy, safety) if strikes else []
        if found:
            raise ClusterRefused(f"the guard refuses, nothing was injected: {'; '.join(found)}")

    def inject(self, fault: Fault, victims: tuple[Victim, ...]) -> None:
        """Break it, with the bracket around the disrupting call on the timeline."""
        self.say(f"{fault.kind} → {', '.join(str(victim) for victim in victims)}")
        if fault.disruptive:
            self.site.guard_machines()
        self._in_effect.append(_strike(fault, victims))
        low = self.timeline.offset(self._clock.monotonic())
        fault.inject(self._context, victims)
        if self.site.journal.last_written is not None:
            # Nothing was broken before the undo was safe, so the bracket need not hold the time that writing it took.
            low = max(low, self.timeline.offset(self.site.journal.last_written))
        high = self.timeline.offset(self._clock.monotonic())
        self._faults.append(fault)
        self.timeline.injections.append(Injection(fault.kind, victims, Interval(low, high)))

    def prove(self, *, last: bool = False) -> None:
        """Look for evidence that each fault bit; with ``last`` what is missing is written down too.

        A look is short, since whatever orders the end of the fault waits for it; the last one may take its time, unless
        the end was ordered."""
        hurry = not last or self.timeline.stopped is not None
        with self._cluster.api.patience.hurried(EVIDENCE_LOOK) if hurry else nullcontext():
            self._look_for_evidence(last=last)

    def _look_for_evidence(self, *, last: bool) -> None:
        for index, injection in enumerate(self.timeline.injections):
            if injection.proven:
                continue
            try:
                evidence = self._faults[index].evidence(self._context, injection.victims)
            except ApiError as error:
                evidence = Evidence(proven=False, text=f"could not be looked at: {error}")
            if evidence.proven or last:
                proof = replace(injection, proven=evidence.proven, evidence=evidence.text)
                self.timeline.injections[index] = proof

    @property
    def undo_failed(self) -> UndoFailed | None:
        """What could not be taken back. Asked of the journal, since an exit stack drops an error when nothing is being
        handled and the next callback raises too."""
        entries = self.site.journal.entries
        failed = [f"{entry.description}: {entry.error}" for entry in entries if entry.state == "failed"]
        return UndoFailed("; ".join(failed)) if failed else None

    def undo(self) -> None:
        """Take back everything that is not yet taken back. Raises UndoFailed."""
        if not self.site.broken:
            return
        self.say("undoing")
        low = self.timeline.offset(self._clock.monotonic())
        self.site.undo()
        self._in_effect.clear()
        undone = Interval(low, self.timeline.offset(self._clock.monotonic()))
        self.timeline.injections[:] = [replace(seen, undone=seen.undone or undone) for seen in self.timeline.injections]

    def recover(self, objectives: Iterable[Objective], at_most: float) -> None:
        """The recovery phase: until no objective waits for anything any more, at most so many seconds."""
        with self.phase(RECOVERY, f"at most {at_most:g} s"):
            end = self._clock.monotonic() + at_most
            while (left := end - self._clock.monotonic()) > 0:
                self.read_requests()
                if not any(objective.pending(self.timeline) for objective in objectives):
                    break
                self.wait(min(left, LOOK_EVERY))

    def look(self, probes: Iterable[SnapshotProbe]) -> None:
        """Let snapshot probes look once."""
        probes = list(probes)
        for arm in self._arms:
            arm.look(probes)

    def stop(self) -> None:
        """Stop the load and the observers: from now on the timeline does not grow by itself."""
        for arm in self._arms:
            arm.stop_load()
        if self._prober:
            self._prober.stop()
            self.read_requests()
        for arm in self._arms:
            arm.stop_watching()

    def read_requests(self) -> None:
        """Bring the requests of the load and the prober so far onto the timeline."""
        for arm in self._arms:
            arm.read_requests()
        if self._prober:
            self.timeline.probes = self._prober.streams(self.timeline.origin)

    def _control_arm(self) -> Arm:
        # One axis and one list of phases: what is compared happened at the same time.
        seen = Timeline(self.timeline.origin, self.timeline.wall_origin, phases=self.timeline.phases)
        return Arm(
            self._run,
            self.experiment,
            namespace=self._run.namespace_of(self.experiment, control=True),
            folder=self.folder / CONTROL,
            timeline=seen,
            name="the control arm",
        )

    def _failures(self) -> Iterator[str | None]:
        for arm in self._arms:
            yield from arm.failures()
        for look in self._ends:
            yield look()


def _strike(fault: Fault, victims: tuple[Victim, ...]) -> Strike:
    return Strike(fault.kind, victims, {victim: fault.takes(victim) for victim in victims}, fault.asks_budgets)

"""The effects of the faults of a live experiment: admission, injection, evidence, undo, and whether they have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from harness.common.errors import ApiError, ClusterRefused
from harness.common.timeouts import EVIDENCE_LOOK, EVIDENCE_LOOK_AT_MOST
from harness.engine.steps.run import Run
from harness.engine.steps.site import Site
from harness.experiment import registry
from harness.experiment.declaration import Experiment
from harness.faults.base import Evidence, Fault, FaultContext
from harness.model.timeline import Injection, Interval, Timeline, Victim
from harness.safety.guard import check_reach
from harness.safety.guard.blast import Strike, refusals
from harness.safety.guard.existing import outside

Chosen = tuple[Fault, tuple[Victim, ...]]


@dataclass
class Effects:
    """The faults injected so far, in the order of the timeline's injections.

    ``experiment`` returns the experiment as it is now, ``context_of`` the context of a fault. ``namespaces`` returns
    those of the arm with faults.
    """

    run: Run
    site: Site
    timeline: Timeline
    experiment: Callable[[], Experiment]
    context_of: Callable[[Fault], FaultContext]
    namespaces: Callable[[], Sequence[str]]
    progress: Callable[[str], None]
    _injected: list[tuple[Fault, FaultContext]] = field(default_factory=list)
    # The strikes of the injections that are not undone, by their index.
    _strikes: dict[int, Strike] = field(default_factory=dict)
    # Seconds for the next look for evidence of an injection, by its index.
    _looks: dict[int, float] = field(default_factory=dict)

    def choose(self, fault: Fault) -> Chosen:
        """Return the fault with its images resolved for this cluster, and its victims.

        Raises Inconclusive without victims, ClusterRefused if the experiment must be marked disruptive for it."""
        check_reach(fault.kind, disruptive=fault.disruptive, allowed=self.experiment().disruptive)
        rendered = registry.render_fault(fault, self.run.cluster.image)
        return rendered, rendered.choose(self.context_of(rendered))

    def admit(self, chosen: Iterable[Chosen]) -> None:
        """Raise ClusterRefused if the guard refuses these faults in addition to those still in effect."""
        strikes = [fault.strike(victims) for fault, victims in chosen]
        if not strikes:
            return
        experiment, api = self.experiment(), self.run.cluster.api
        policy, safety = self.run.policy_for(experiment), experiment.safety
        together, own = [*self._strikes.values(), *strikes], self.namespaces()
        found = refusals(api, own, together, policy, safety, now=self.run.clock.wall())
        if experiment.existing:
            found += outside(api, experiment.existing, strikes, experiment.workload.names())
        if found:
            nothing = "nothing" if not self._injected else "nothing more"
            raise ClusterRefused(f"the guard refuses, {nothing} was injected: {'; '.join(found)}")

    def inject(self, fault: Fault, victims: tuple[Victim, ...], *, number: int | None = None, moment: int = 0) -> int:
        """Inject a fault; the times before and after the call go to the timeline. Return the index of the injection.

        ``number`` is the index of the fault in the experiment, by default that of the injection; see ``Injection``."""
        self.progress(f"{fault.kind} → {_shown(victims)}")
        if fault.disruptive:
            self.site.guard_machines()
        index, journal = len(self.timeline.injections), self.site.journal
        self._strikes[index] = fault.strike(victims)
        first = len(journal.entries) + 1
        self.site.keep_owners(victims)
        low = self._now
        context = self.context_of(fault)
        fault.inject(context, victims)
        if journal.last_written is not None:
            # Faults start only after their undo is in the journal, so the time to write it can be excluded.
            low = max(low, self.timeline.offset(journal.last_written))
        self._injected.append((fault, context))
        injection = Injection(
            fault.kind,
            victims,
            Interval(low, self._now),
            number=index if number is None else number,
            moment=moment,
            entries=range(first, len(journal.entries) + 1),
        )
        self.timeline.injections.append(injection)
        return index

    def prove(self, *, last: bool = False, only: int | None = None) -> None:
        """Look for evidence that each fault took effect; with ``last`` also record that evidence is missing.

        ``only`` is the index of the injection to look at, by default all that are not undone. The requests have a short
        timeout, because a halt or an early stop waits for them. It is longer after each look that failed: a slow API
        server must not hide the evidence. The last look of a phase that was not stopped early has the normal one.
        """
        hurry = not last or self.timeline.stopped is not None
        for index, injection in enumerate(self.timeline.injections):
            if not injection.proven and not injection.undone and only in {None, index}:
                self._prove(index, injection, last=last, hurry=hurry)

    def _prove(self, index: int, injection: Injection, *, last: bool, hurry: bool) -> None:
        limit = self._looks.get(index, EVIDENCE_LOOK)
        try:
            fault, context = self._injected[index]
            # For each injection apart: one whose evidence takes many requests must not take the time of the others.
            with self.run.cluster.api.patience.limited_to(limit) if hurry else nullcontext():
                evidence = fault.evidence(context, injection.victims)
        except ApiError as error:
            self._looks[index] = min(2 * limit, EVIDENCE_LOOK_AT_MOST)
            evidence = Evidence(proven=False, text=f"could not check: {error}")
        if evidence.proven or last:
            proof = replace(injection, proven=evidence.proven, evidence=evidence.text)
            self.timeline.injections[index] = proof

    def proven(self, number: int) -> bool:
        """Return whether the last injection of the fault with this index in the experiment has evidence."""
        found = [injection for injection in self.timeline.injections if injection.number == number]
        return bool(found) and found[-1].proven

    def undo_one(self, index: int) -> None:
        """Look for evidence of one injection for the last time, and undo it alone. Raises UndoFailed."""
        self.prove(last=True, only=index)
        injection = self.timeline.injections[index]
        self.progress(f"undoing {injection.fault} → {_shown(injection.victims)}")
        low = self._now
        self.site.undo(injection.entries)
        del self._strikes[index]
        self.timeline.injections[index] = replace(injection, undone=Interval(low, self._now))

    def undo(self) -> None:
        """Undo all effects that are not undone yet. Raises UndoFailed."""
        if not self.site.in_effect:
            return
        self.progress("undoing")
        low = self._now
        self.site.undo()
        self._strikes.clear()
        undone = Interval(low, self._now)
        self.timeline.injections[:] = [replace(seen, undone=seen.undone or undone) for seen in self.timeline.injections]

    def have_ended(self) -> bool:
        """Record for each injection which part of its effect has not ended. Return whether all effects have ended."""
        for index, injection in enumerate(self.timeline.injections):
            try:
                fault, context = self._injected[index]
                text = fault.unfinished(context, injection.victims)
            except ApiError as error:
                text = f"could not check whether its effect has ended: {error}"
            self.timeline.injections[index] = replace(injection, unfinished=text)
        return not any(injection.unfinished for injection in self.timeline.injections)

    @property
    def _now(self) -> float:
        return self.timeline.offset(self.run.clock.monotonic())


def _shown(victims: Sequence[Victim]) -> str:
    return ", ".join(map(str, victims))

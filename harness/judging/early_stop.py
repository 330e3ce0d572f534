"""Decide whether the fault must end early: an objective can no longer hold, or an abort condition is met.

A twin or a mutant ends once what it must break is BROKEN for certain: nothing that it could still observe would change
that. Evaluated a few times a second during the fault, so it only reads the timeline and sends no requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.experiment.declaration import Experiment, describes
from harness.judging.judge import sharing_confidence
from harness.model.phase_names import FAULT
from harness.model.timeline import Stop, Timeline
from harness.objectives.base import Breaches, Due, LiveObjective, Objective
from harness.traffic.load.profile import Profile

# Seconds. A phase may be this much longer than declared: the work at its end takes time.
_OVERRUN = 1.0
# Seconds between two looks at whether a twin is decided: unlike ``breached``, ``judge`` reads the whole timeline.
_DECIDED_EVERY = 1.0


# Objectives of which one must be BROKEN, each with its function ``breaches``, if it has one.
_Group = Sequence[tuple[Objective, Breaches | None]]


def _decisive(experiment: Experiment) -> list[_Group]:
    """Return one group for each entry of a twin's ``breaks``; all objectives of a mutant, whose loss any may notice."""
    live = [
        (objective, objective.breaches() if isinstance(objective, LiveObjective) else None)
        for objective in sharing_confidence(experiment.objectives)
    ]
    named = [[each for each in live if describes(each[0], name)] for name in experiment.breaks]
    return list(filter(None, named or [live]))


class EarlyStop:
    """The objectives with ``abortOnBreach`` and the abort conditions of an experiment, with the profiles of its loads.

    ``profiles`` are by the name of the load."""

    def __init__(self, experiment: Experiment, timeline: Timeline, profiles: Mapping[str, Profile]) -> None:
        self._experiment, self._timeline, self._profiles = experiment, timeline, profiles
        # Created once per run: a check may remember the requests that it has read, so that it reads each only once.
        self._objectives = [
            (objective, objective.breaches())
            for objective in sharing_confidence(experiment.objectives)
            if isinstance(objective, LiveObjective) and objective.abort_on_breach
        ]
        self._decisive = _decisive(experiment) if experiment.variant else []
        self._looked = -_DECIDED_EVERY

    @property
    def enabled(self) -> bool:
        """Whether the experiment has any such objective or condition, or is a twin or a mutant."""
        return bool(self._objectives or self._experiment.abort or self._decisive)

    def aborted(self, now: float) -> str:
        """Return which abort condition is met, or an empty string. ``now`` is in seconds on the timeline."""
        met = (condition.met(self._timeline, now) for condition in self._experiment.abort)
        return next(filter(None, met), "")

    def look(self, now: float, left: float) -> Stop | None:
        """Return why the fault must end now, or None; ``left`` is the rest of the fault phase in seconds."""
        # First, since an abort condition is for safety and must not wait for the evaluation of objectives.
        aborted = self.aborted(now)
        if aborted:
            return Stop(now, "abort", aborted)
        for objective, breached in self._objectives:
            reason = breached(self._timeline, self._due(objective, now, left))
            if reason:
                return Stop(now, "objective", f"{objective.title}: {reason}")
        return self.decided(now, left)

    def decided(self, now: float, left: float = 0.0) -> Stop | None:
        """Return why a twin or a mutant may end now, or None: what it must break is BROKEN for certain.

        Looks at most once a second. Not before every injection has evidence, without which no verdict counts."""
        if not self._decisive or now - self._looked < _DECIDED_EVERY:
            return None
        self._looked = now
        if not self._timeline.injections or not all(seen.proven for seen in self._timeline.injections):
            return None
        broken = [self._certain(group, now, left) for group in self._decisive]
        return Stop(now, "variant", f"BROKEN for certain: {', '.join(broken)}") if all(broken) else None

    def _certain(self, group: _Group, now: float, left: float) -> str:
        """Return the title of an objective of the group that is BROKEN for certain, or ""."""
        for objective, breached in group:
            if breached and breached(self._timeline, self._due(objective, now, left)):
                return objective.title
            if objective.overdue(self._timeline):
                return objective.title
        return ""

    def _due(self, objective: Objective, now: float, left: float) -> Due:
        phases = self._experiment.phases
        rates = [(self._profiles[name], load.rate) for name, load in self._experiment.loads_of(objective).items()]
        fault = self._timeline.phase(FAULT)
        lengths = {name: length.at_most for name, length in phases.lengths().items()}
        # The fault phase has no end yet while it lasts.
        lengths[FAULT] = (min(now, fault.end) - fault.start if fault else 0.0) + left
        # Without a rate the number of requests to come is unknown; validation refuses such an objective.
        return {
            name: sum(profile.arrivals_at_most(name, length + _OVERRUN, rate) for profile, rate in rates if rate)
            for name, length in lengths.items()
        }

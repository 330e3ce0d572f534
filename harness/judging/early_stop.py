"""Decide whether the fault must end early: an objective can no longer hold, or an abort condition is met.

Evaluated a few times a second during the fault, so it only reads the timeline and sends no requests.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.experiment.declaration import Experiment
from harness.judging.judge import sharing_confidence
from harness.model.phase_names import FAULT
from harness.model.timeline import Stop, Timeline
from harness.objectives.base import Due, LiveObjective, Objective
from harness.traffic.load.profile import Profile

# Seconds. A phase may be this much longer than declared: the work at its end takes time.
_OVERRUN = 1.0


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

    @property
    def enabled(self) -> bool:
        """Whether the experiment has any such objective or condition."""
        return bool(self._objectives or self._experiment.abort)

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
        return None

    def _due(self, objective: Objective, now: float, left: float) -> Due:
        phases = self._experiment.phases
        rates = [(self._profiles[name], load.rate) for name, load in self._experiment.loads_of(objective).items()]
        fault = self._timeline.phase(FAULT)
        lengths = {name: length.at_most for name, length in phases.lengths().items()}
        lengths[FAULT] = (now - fault.start if fault else 0.0) + left
        # Without a rate the number of requests to come is unknown; validation refuses such an objective.
        return {
            name: sum(profile.arrivals_at_most(name, length + _OVERRUN, rate) for profile, rate in rates if rate)
            for name, length in lengths.items()
        }

"""Decide whether the fault must end early: an objective can no longer hold, or an abort condition is met.

Evaluated a few times a second during the fault, so it only reads the timeline and sends no requests.
"""

from __future__ import annotations

from harness.experiment.declaration import Experiment
from harness.judging.judge import sharing_confidence
from harness.model.phase_names import FAULT
from harness.model.timeline import Stop, Timeline
from harness.objectives.base import Due, LiveObjective
from harness.traffic.load.profile import Profile

# Seconds. A phase may be this much longer than declared: the work at its end takes time.
_OVERRUN = 1.0


class EarlyStop:
    """The objectives with ``abortOnBreach`` and the abort conditions of an experiment, with its load profile."""

    def __init__(self, experiment: Experiment, timeline: Timeline, profile: Profile | None) -> None:
        self._experiment, self._timeline, self._profile = experiment, timeline, profile
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
        due = self._due(now, left)
        for objective, breached in self._objectives:
            reason = breached(self._timeline, due)
            if reason:
                return Stop(now, "objective", f"{objective.title}: {reason}")
        return None

    def _due(self, now: float, left: float) -> Due:
        load, profile, phases = self._experiment.load, self._profile, self._experiment.phases
        # Without a rate the number of requests to come is unknown; validation refuses such an objective.
        if load is None or profile is None or load.rate is None:
            return {}
        fault = self._timeline.phase(FAULT)
        lengths = {name: length.at_most for name, length in phases.lengths().items()}
        lengths[FAULT] = (now - fault.start if fault else 0.0) + left
        rate = load.rate
        return {name: profile.arrivals_at_most(name, length + _OVERRUN, rate) for name, length in lengths.items()}

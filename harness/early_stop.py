"""Whether the fault must end before its time: an objective is beyond saving, or an abort condition is met.

Asked a few times a second while the fault is there; everything it reads is on the timeline already.
"""

from __future__ import annotations

from harness.experiment import Experiment
from harness.judging import sharing_confidence
from harness.load.profile import Profile
from harness.objective import Due, LiveObjective
from harness.observation import FAULT, PHASES, Stop, Timeline

# Phases last a little longer than they are declared to: what is done at their ends takes time.
_OVERRUN = 1.0


class EarlyStop:
    """The objectives with ``abortOnBreach`` and the abort conditions of one experiment. ``profile`` is its load's."""

    def __init__(self, experiment: Experiment, timeline: Timeline, profile: Profile | None) -> None:
        self._experiment, self._timeline, self._profile = experiment, timeline, profile
        self._asked = [
            (objective, objective.breaches())
            for objective in sharing_confidence(experiment.objectives)
            if isinstance(objective, LiveObjective) and objective.abort_on_breach
        ]

    @property
    def asks(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._asked or self._experiment.abort)

    def aborted(self, now: float) -> str:
        """The abort condition that is met, in words. ``now`` is on the timeline."""
        met = (condition.met(self._timeline, now) for condition in self._experiment.abort)
        return next(filter(None, met), "")

    def look(self, now: float, left: float) -> Stop | None:
        """Why the fault must end now, or None; ``left`` is how many seconds it would last."""
        aborted = self.aborted(now)
        if aborted:
            return Stop(now, "abort", aborted)
        due = self._due(now, left)
        for objective, breached in self._asked:
            reason = breached(self._timeline, due)
            if reason:
                return Stop(now, "objective", f"{objective.title}: {reason}")
        return None

    def _due(self, now: float, left: float) -> Due:
        load, profile, phases = self._experiment.load, self._profile, self._experiment.phases
        if load is None or profile is None:
            return {}
        fault = self._timeline.phase(FAULT)
        lengths = {name: phases.length(name) for name in PHASES}
        lengths[FAULT] = (now - fault.start if fault else 0.0) + left
        return {name: profile.arrivals_at_most(name, length + _OVERRUN, load.rate) for name, length in lengths.items()}

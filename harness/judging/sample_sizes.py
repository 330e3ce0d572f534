"""Compare the requests that the bound of each share objective needs with those that the load gives, before a run.

Only for a load with a rate and a behaviour: how many requests a locustfile or a replay sends is not known before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.experiment.declaration import Experiment, Phases
from harness.judging.judge import sharing_confidence
from harness.model.timeline import PHASES, RECOVERY
from harness.objectives._share import ShareObjective, show_share
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.profile import Profile
from harness.traffic.load.schedule import ArrivalSchedule


@dataclass(frozen=True, slots=True)
class SampleSize:
    """The number of requests that one objective needs, if none fails, and that the load gives in its phases.

    ``number`` is the objective's place in the experiment, from 0. ``given`` counts the phases of a declared length
    (``sure``), ``in_recovery`` the whole recovery phase, which may end at any time; it is 0 if that is not judged.
    """

    number: int
    title: str
    confidence: float
    needed: int
    given: int
    sure: tuple[str, ...]
    in_recovery: int = 0

    @property
    def short(self) -> bool:
        """Whether the requests may be too few. If the recovery alone is judged, only its whole length is compared."""
        return self.given + (0 if self.sure else self.in_recovery) < self.needed

    def __str__(self) -> str:
        needs = f"needs {self.needed:,} requests without a failure for {show_share(self.confidence)} confidence"
        given = f"{self.given:,} in {' and '.join(self.sure)}" if self.sure else ""
        recovery = f"at most {self.in_recovery:,} in {RECOVERY}, which may end early" if self.in_recovery else ""
        return f"{needs}; the load gives {' and '.join(filter(None, (given, recovery))) or 'none'}"


def sample_sizes(experiment: Experiment, catalogue: Catalogue) -> Iterator[SampleSize]:
    """Yield the sizes for each share objective, with the confidence that the judge uses. Raises InputError."""
    load = experiment.load
    if load is None or load.rate is None or load.locustfile:
        return
    profile = catalogue.profile(load.profile)
    for number, objective in enumerate(sharing_confidence(experiment.objectives)):
        if isinstance(objective, ShareObjective):
            sure = tuple(name for name in PHASES if name in objective.phases and name != RECOVERY)
            yield SampleSize(
                number=number,
                title=objective.title,
                confidence=objective.confidence,
                needed=max(objective.demand.samples_needed(), objective.min_samples),
                given=_at_least(profile, load.rate, experiment.phases, sure),
                sure=sure,
                in_recovery=_due(profile, load.rate, experiment.phases, [RECOVERY], experiment.phases.recovery)
                if RECOVERY in objective.phases
                else 0,
            )


def _at_least(profile: Profile, rate: float, phases: Phases, names: Iterable[str]) -> int:
    # A profile may rise or fall in the recovery and continue in the next phase, so both ends are compared.
    return min(_due(profile, rate, phases, names, recovery) for recovery in (0.0, phases.recovery))


def _due(profile: Profile, rate: float, phases: Phases, names: Iterable[str], recovery: float) -> int:
    schedule, start = ArrivalSchedule(profile, rate), 0.0
    windows: dict[str, tuple[float, float]] = {}
    for name in PHASES:
        schedule.enter(name, start)
        end = start + (recovery if name == RECOVERY else phases.length(name))
        windows[name] = (start, end)
        start = end
    # Rounded before the floor: the sum of areas may be 999.9999999.
    return math.floor(round(sum(schedule.due_between(*windows[name]) for name in names), 6))

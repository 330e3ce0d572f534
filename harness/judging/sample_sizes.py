"""Compare the requests that the bound of each share objective needs with those that the load gives, before a run.

Only for a load with a rate and a behaviour: how many requests a locustfile or a replay sends is not known before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from harness.experiment.declaration import Experiment
from harness.experiment.load import Load
from harness.experiment.phases import Phases
from harness.judging.judge import sharing_confidence
from harness.model.phase_names import PHASES, RECOVERY
from harness.objectives._share import ShareObjective, show_share
from harness.traffic.load.catalogue import Catalogue
from harness.traffic.load.profile import Profile
from harness.traffic.load.schedule import ArrivalSchedule


@dataclass(frozen=True, slots=True)
class SampleSize:
    """The number of requests that one objective needs, if none fails, and that the load gives in its phases.

    ``number`` is the objective's place in the experiment, from 0. ``given`` counts the shortest length of the phases
    that have one (``sure``), ``in_recovery`` the whole recovery phase, which may end at any time; it is 0 if that is
    not judged.
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
    profiles = {
        name: catalogue.profile(load.profile) for name, load in experiment.every_load.items() if _is_known(load)
    }
    bounds = list(_extremes(experiment.phases))
    for number, objective in enumerate(sharing_confidence(experiment.objectives)):
        judged = experiment.loads_of(objective)
        if isinstance(objective, ShareObjective) and judged and all(name in profiles for name in judged):
            loads = [_Source.of(profiles[name], load, catalogue) for name, load in judged.items()]
            sure = tuple(name for name in PHASES if name in objective.phases and name != RECOVERY)
            yield SampleSize(
                number=number,
                title=objective.title,
                confidence=objective.confidence,
                needed=max(objective.demand.samples_needed(), objective.min_samples),
                given=min(_due(loads, lengths, sure) for lengths in bounds),
                sure=sure,
                in_recovery=max(_due(loads, lengths, [RECOVERY]) for lengths in bounds)
                if RECOVERY in objective.phases
                else 0,
            )


def _extremes(phases: Phases) -> Iterator[dict[str, float]]:
    """Yield the seconds of each phase, for every combination of their shortest and longest lengths.

    A profile may rise or fall in a phase and continue in the next, so each combination may give the fewest requests."""
    bounds = [dict.fromkeys((length.at_least, length.at_most)) for length in phases.lengths().values()]
    for seconds in product(*bounds):
        yield dict(zip(PHASES, seconds, strict=True))


def _is_known(load: Load) -> bool:
    return load.rate is not None and not load.locustfile


@dataclass(frozen=True, slots=True)
class _Source:
    """A load with a rate. Each arrival has at least ``fewest`` requests, within ``pauses`` seconds if none is slow."""

    profile: Profile
    rate: float
    fewest: int
    pauses: float

    @classmethod
    def of(cls, profile: Profile, load: Load, catalogue: Catalogue) -> _Source:
        behaviour = catalogue.behaviour(load.behaviour, load.options)
        return cls(profile, load.rate or 0.0, behaviour.requests[0], behaviour.pauses)


def _due(loads: Iterable[_Source], lengths: Mapping[str, float], names: Sequence[str]) -> int:
    """Return the requests of some loads that are due in phases together, at least."""
    return sum(_due_of(load, lengths, names) for load in loads)


def _due_of(load: _Source, lengths: Mapping[str, float], names: Iterable[str]) -> int:
    schedule, start = ArrivalSchedule(load.profile, load.rate), 0.0
    windows: dict[str, tuple[float, float]] = {}
    for name, seconds in lengths.items():
        schedule.enter(name, start)
        windows[name] = (start, start + seconds)
        start += seconds
    due = 0.0
    for first, last in (windows[name] for name in names):
        # The later requests of an arrival that pauses may be in the next phase.
        whole = max(first, last - load.pauses)
        due += load.fewest * schedule.due_between(first, whole) + schedule.due_between(whole, last)
    # Rounded before the floor: the sum of areas may be 999.9999999.
    return math.floor(round(due, 6))

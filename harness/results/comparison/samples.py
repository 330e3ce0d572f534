"""The values of a run to compare: for every experiment and twin, one value of each measure per attempt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.model.timeline import Interval
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, ObjectiveRecord, RunRecord
from harness.results.reporting import overview

# Not compared by the observed value, since the recovery times of the clocks have more detail.
_BY_CLOCKS = "recoveryTime"


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure: its name, its unit, and whether a larger value is better."""

    name: str
    unit: str
    more_is_better: bool


@dataclass(slots=True)
class Outcome:
    """An experiment or twin of a run: the outcomes of its attempts, and their values by measure."""

    name: str
    record: ExperimentRecord
    as_should: int = 0
    otherwise: int = 0
    values: dict[Measure, list[Interval]] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        return overview.verdict_text(self.record)

    @property
    def attempts(self) -> int:
        return self.as_should + self.otherwise


def outcomes(run: RunRecord) -> dict[str, Outcome]:
    """Return every experiment and twin of a run by file and name; several with the same name count as attempts."""
    found: dict[str, Outcome] = {}
    for record in run.experiments:
        name = f"{record.name}[{record.twin}]" if record.twin else record.name
        outcome = found.setdefault(f"{record.file}::{name}", Outcome(name, record))
        for attempt in record.attempts or [record]:
            _count(outcome, attempt)
    return found


def _count(outcome: Outcome, attempt: ExperimentRecord) -> None:
    if attempt.standing is Verdict.INCONCLUSIVE:
        # Its measurements may not be an effect of the fault.
        return
    outcome.as_should += attempt.passed
    outcome.otherwise += not attempt.passed
    for measure, value in _values(attempt):
        outcome.values.setdefault(measure, []).append(value)


def _values(attempt: ExperimentRecord) -> Iterator[tuple[Measure, Interval]]:
    for clock in overview.recoveries(attempt).values():
        if clock.low is not None:
            # Not to recover at all counts as longer than every recovery.
            high = math.inf if clock.high is None else clock.high
            yield Measure(f"time to recover ({clock.clock})", "s", more_is_better=False), Interval(clock.low, high)
    yield from _objectives(attempt.objectives)


def _objectives(objectives: Iterable[ObjectiveRecord]) -> Iterator[tuple[Measure, Interval]]:
    for objective in objectives:
        if objective.kind == _BY_CLOCKS or objective.observed is None or not objective.comparison:
            continue
        measure = Measure(objective.title, objective.unit, more_is_better=objective.comparison == ">=")
        yield measure, _measured(objective, objective.observed)


def _measured(objective: ObjectiveRecord, observed: float) -> Interval:
    """Return the measurement bounds. A share is exact: its bounds are confidence bounds, which are not used here."""
    if objective.unit != "s":
        return Interval(observed, observed)
    # Without an upper bound it did not happen during the observation, which took ``observed`` seconds.
    low = observed if objective.low is None else objective.low
    return Interval(low, math.inf if objective.high is None else objective.high)

"""What there is to compare in a run: of every experiment and twin, one value an attempt of all that was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.observation import Interval
from harness.record import ExperimentRecord, ObjectiveRecord, RunRecord
from harness.reporting import overview
from harness.verdict import Verdict

# Judged by the clocks below, which tell more of the same.
_BY_CLOCKS = "recoveryTime"


@dataclass(frozen=True, slots=True)
class Measure:
    """What is compared: its name, its unit, and whether more of it is better."""

    name: str
    unit: str
    more_is_better: bool


@dataclass(slots=True)
class Outcome:
    """An experiment or twin of a run: its verdict, how its attempts came out, and their values by measure."""

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
    """Every experiment and twin of a run, by its file and name; several of one name are attempts of it."""
    found: dict[str, Outcome] = {}
    for record in run.experiments:
        name = f"{record.name}[{record.twin}]" if record.twin else record.name
        outcome = found.setdefault(f"{record.file}::{name}", Outcome(name, record))
        for attempt in record.attempts or [record]:
            _count(outcome, attempt)
    return found


def _count(outcome: Outcome, attempt: ExperimentRecord) -> None:
    if attempt.standing is Verdict.INCONCLUSIVE:
        # Whatever it measured is not proven to be the fault's doing.
        return
    outcome.as_should += attempt.passed
    outcome.otherwise += not attempt.passed
    for measure, value in _values(attempt):
        outcome.values.setdefault(measure, []).append(value)


def _values(attempt: ExperimentRecord) -> Iterator[tuple[Measure, Interval]]:
    for clock in overview.recoveries(attempt).values():
        if clock.low is not None:
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
    """The bounds of measurement. Those of a share are of confidence: the share itself is exact."""
    if objective.unit != "s":
        return Interval(observed, observed)
    # Without an upper one it had not happened when it was last looked for: ``observed`` is how long that was.
    low = observed if objective.low is None else objective.low
    return Interval(low, math.inf if objective.high is None else objective.high)

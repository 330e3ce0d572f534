"""The harness's own metrics: their names, and their values for the record of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.engine.outcome import left_behind
from harness.model.verdict import Verdict
from harness.results.game_day_record import GameDayRecord
from harness.results.record import ClockRecord, ExperimentRecord, ObjectiveRecord, RunRecord
from harness.results.reporting.overview import run_verdict, slack
from harness.telemetry.moments import seconds

PREFIX = "resilience_"
RUN = ("context",)
GAME_DAY = ("context", "gameday")
EXPERIMENT = ("context", "experiment", "twin")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``scope`` has the labels that identify what it is about, ``labels`` those of its series within it.

    ``kept``: a value of an earlier run stays if the current run has none, for example the time of the last success.
    """

    name: str
    help: str
    scope: tuple[str, ...]
    labels: tuple[str, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"
    kept: bool = False


METRICS = (
    Metric(f"{PREFIX}runs_total", "Runs that have ended, by their verdict.", RUN, ("verdict",), "counter"),
    Metric(f"{PREFIX}last_run_verdict", "1 for the verdict of the last run, 0 for the others.", RUN, ("verdict",)),
    Metric(f"{PREFIX}last_run_timestamp_seconds", "When the last run ended, in Unix time.", RUN),
    Metric(
        f"{PREFIX}last_success_timestamp_seconds", "When the last run that HELD ended, in Unix time.", RUN, kept=True
    ),
    Metric(f"{PREFIX}last_run_duration_seconds", "How long the last run took.", RUN),
    Metric(f"{PREFIX}last_run_leftovers", "Effects of the last run that could not be undone.", RUN),
    Metric(f"{PREFIX}last_run_skipped", "Experiments and twins that the last run skipped.", RUN),
    Metric(
        f"{PREFIX}gameday_verdict", "1 for the last verdict of the game day, 0 for the others.", GAME_DAY, ("verdict",)
    ),
    Metric(f"{PREFIX}gameday_last_run_timestamp_seconds", "When the game day last ended, in Unix time.", GAME_DAY),
    Metric(
        f"{PREFIX}gameday_last_success_timestamp_seconds",
        "When the game day last HELD, in Unix time.",
        GAME_DAY,
        kept=True,
    ),
    Metric(f"{PREFIX}gameday_duration_seconds", "How long the game day took.", GAME_DAY),
    Metric(
        f"{PREFIX}experiment_runs_total",
        "Runs of the experiment or twin that have ended, by verdict.",
        EXPERIMENT,
        ("verdict",),
        "counter",
    ),
    Metric(
        f"{PREFIX}experiment_verdict",
        "1 for the last verdict of the experiment or twin, 0 for the others.",
        EXPERIMENT,
        ("verdict",),
    ),
    Metric(
        f"{PREFIX}experiment_passed",
        "1 if the last run passed: HELD, or for a twin BROKEN on what it must break; else 0.",
        EXPERIMENT,
    ),
    Metric(f"{PREFIX}experiment_last_run_timestamp_seconds", "When it last ended, in Unix time.", EXPERIMENT),
    Metric(
        f"{PREFIX}experiment_last_success_timestamp_seconds",
        "When it last passed, in Unix time.",
        EXPERIMENT,
        kept=True,
    ),
    Metric(f"{PREFIX}experiment_duration_seconds", "How long it took.", EXPERIMENT),
    Metric(
        f"{PREFIX}recovery_lower_bound_seconds",
        "Lower bound of the recovery time by clock; of several attempts, of the longest.",
        EXPERIMENT,
        ("clock", "subject"),
    ),
    Metric(
        f"{PREFIX}recovery_upper_bound_seconds",
        "Upper bound of the recovery time by clock, +Inf if not recovered; of several attempts, of the longest.",
        EXPERIMENT,
        ("clock", "subject"),
    ),
    Metric(
        f"{PREFIX}objective_margin",
        "Distance from the limit on its good side in the label's unit; negative if missed.",
        EXPERIMENT,
        ("objective", "unit"),
    ),
    Metric(
        f"{PREFIX}objective_margin_ratio",
        "The margin relative to the limit, for a minimum share to its error budget; unscaled if that is 0.",
        EXPERIMENT,
        ("objective",),
    ),
)
_RUN_TIMES = "last_run_timestamp", "last_success_timestamp", "last_run_duration"
_GAME_DAY_TIMES = "gameday_last_run_timestamp", "gameday_last_success_timestamp", "gameday_duration"
_EXPERIMENT_TIMES = "experiment_last_run_timestamp", "experiment_last_success_timestamp", "experiment_duration"
BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric; ``labels`` has every label of the metric's scope and of its series."""

    metric: Metric
    labels: Mapping[str, str]
    value: float

    @property
    def scope(self) -> tuple[str, ...]:
        """What the value is about: the runs on a cluster, a game day or an experiment, by its labels."""
        return tuple(self.labels[name] for name in self.metric.scope)

    @property
    def key(self) -> tuple[str, ...]:
        """What distinguishes the series from all others."""
        return self.metric.name, *(self.labels[name] for name in (*self.metric.scope, *self.metric.labels))


def samples(run: RunRecord) -> list[Sample]:
    """Return the values of a run and of its experiments.

    A counter has 1 for the verdict that was reached, and 0 for the others, so that a first failure is an increase.
    """
    place = {"context": run.environment.context if run.environment else ""}
    found = list(_of_run(run, place))
    if day := run.game_day:
        where = {**place, "gameday": day.name}
        found += _verdicts("gameday_verdict", day.verdict, where)
        # A day that was interrupted, and may go on in a later run, has no end yet.
        ended = day.model_copy(update={"started": day.started or run.started, "finished": day.finished or run.finished})
        found += _times(_GAME_DAY_TIMES, ended, where, success=day.verdict is Verdict.HELD and bool(day.finished))
    for record in _last(run.experiments):
        found += _of_experiment(record, {**place, "experiment": record.name, "twin": record.twin})
    return found


def _last(records: Iterable[ExperimentRecord]) -> Iterable[ExperimentRecord]:
    """Return the last record of each name: of reruns, and of tests with the same name in several files."""
    return {(record.name, record.twin): record for record in records}.values()


def _of_run(run: RunRecord, place: Mapping[str, str]) -> Iterator[Sample]:
    verdict = run_verdict(run)
    yield from _verdicts("runs_total", verdict, place)
    yield from _verdicts("last_run_verdict", verdict, place)
    yield from _times(_RUN_TIMES, run, place, success=verdict is Verdict.HELD)
    yield _sample("last_run_leftovers", place, len(left_behind(run)))
    yield _sample("last_run_skipped", place, len(run.skipped))


def _of_experiment(record: ExperimentRecord, place: Mapping[str, str]) -> Iterator[Sample]:
    passed = record.passed and record.has_verdict
    yield from _verdicts("experiment_runs_total", record.standing, place)
    yield from _verdicts("experiment_verdict", record.standing, place)
    yield _sample("experiment_passed", place, float(passed))
    yield from _times(_EXPERIMENT_TIMES, record, place, success=passed)
    for (clock, subject), (low, high) in _recoveries(record).items():
        where = {**place, "clock": clock, "subject": subject}
        yield _sample("recovery_lower_bound_seconds", where, low)
        yield _sample("recovery_upper_bound_seconds", where, high)
    for objective in {objective.title: objective for objective in record.objectives}.values():
        yield from _margins(objective, place)


def _times(
    names: tuple[str, str, str],
    record: RunRecord | ExperimentRecord | GameDayRecord,
    place: Mapping[str, str],
    *,
    success: bool,
) -> Iterator[Sample]:
    """Yield when it last ended, when it last succeeded and how long it took, under these names in this order."""
    last, last_success, duration = names
    # A record that was cut short has no end.
    began, ended = seconds(record.started), seconds(record.finished or record.started)
    if ended is None:
        return
    yield _sample(f"{last}_seconds", place, ended)
    if success:
        yield _sample(f"{last_success}_seconds", place, ended)
    if began is not None and record.finished:
        yield _sample(f"{duration}_seconds", place, max(0.0, ended - began))


def _recoveries(record: ExperimentRecord) -> dict[tuple[str, str], tuple[float, float]]:
    if record.series:
        longest = [
            (each.clock, quantile)
            for each in record.series.recovery
            for quantile in each.quantiles
            if quantile.name == "max"
        ]
        return {(clock, ""): (found.low, math.inf if found.high is None else found.high) for clock, found in longest}
    return {(each.clock, each.subject): bounds for each in record.recovery if (bounds := _bounds(each))}


def _bounds(clock: ClockRecord) -> tuple[float, float] | None:
    """Return the bounds of a recovery time; 0 if there was no outage, None without data."""
    if clock.state == "no data":
        return None
    if clock.state == "not disrupted":
        return 0.0, clock.high or 0.0
    low = clock.low or 0.0
    return low, math.inf if clock.state == "not recovered" or clock.high is None else clock.high


def _margins(objective: ObjectiveRecord, place: Mapping[str, str]) -> Iterator[Sample]:
    if objective.margin is None:
        return
    where = {**place, "objective": objective.title}
    yield _sample("objective_margin", {**where, "unit": objective.unit}, objective.margin)
    yield _sample("objective_margin_ratio", where, slack(objective))


def _verdicts(name: str, reached: Verdict, place: Mapping[str, str]) -> Iterator[Sample]:
    for verdict in Verdict:
        yield _sample(name, {**place, "verdict": str(verdict)}, float(verdict is reached))


def _sample(name: str, labels: Mapping[str, str], value: float) -> Sample:
    return Sample(BY_NAME[PREFIX + name], dict(labels), float(value))

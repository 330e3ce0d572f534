"""The values of a run: each by the name and the labels that people query."""

from __future__ import annotations

import math

import pytest

from harness.model.verdict import Verdict
from harness.results.game_day_record import GameDayRecord
from harness.results.record import ExperimentRecord
from harness.results.series_record import DistributionRecord, QuantileRecord, SeriesRecord
from harness.results.skip_record import SkipRecord
from harness.telemetry.metrics import METRICS, samples
from tests.unit.telemetry.runs import BEGAN, experiment, leftover, moment, run, twin


def values(name: str, *records: ExperimentRecord, **changes: object) -> dict[tuple[str, ...], float]:
    """The values of one metric by those of its labels that are not the scope's, unless there are none."""
    found = [each for each in samples(run(*records, **changes)) if each.metric.name == f"resilience_{name}"]
    return {
        tuple(each.labels[label] for label in each.metric.labels or each.metric.scope): each.value for each in found
    }


def test_verdict_is_a_set_of_states() -> None:
    states = values("experiment_verdict", experiment(verdict=Verdict.BROKEN, passed=False))
    assert states == {("HELD",): 0, ("INCONCLUSIVE",): 0, ("BROKEN",): 1}
    assert values("last_run_verdict") == {("HELD",): 1, ("INCONCLUSIVE",): 0, ("BROKEN",): 0}


def test_experiment_that_was_not_closed_is_inconclusive() -> None:
    record = experiment(stage="observed", passed=False)
    assert values("experiment_verdict", record)["INCONCLUSIVE",] == 1
    assert values("experiment_last_success_timestamp_seconds", record) == {}


def test_recovery_has_both_bounds_by_clock() -> None:
    assert values("recovery_lower_bound_seconds") == {
        ("user", "deployment/shop"): 3.5,
        ("control plane", "deployment/shop"): 9.0,
        ("endpoints", "shop"): 0.0,
    }
    assert values("recovery_upper_bound_seconds") == {
        ("user", "deployment/shop"): 4.0,
        ("control plane", "deployment/shop"): math.inf,
        ("endpoints", "shop"): 0.5,
    }


def test_recovery_of_a_series_is_its_longest() -> None:
    quantiles = [QuantileRecord(name="p50", low=1.0, high=2.0), QuantileRecord(name="max", low=5.0, high=None)]
    user = DistributionRecord(clock="user", attempts=3, recovered=3, undisrupted=0, quantiles=quantiles)
    series = SeriesRecord(at_most=3, good=0.9, bad=0.5, confidence=0.95, recovery=[user])
    record = experiment(series=series, recovery=[])
    assert values("recovery_lower_bound_seconds", record) == {("user", ""): 5.0}
    assert values("recovery_upper_bound_seconds", record) == {("user", ""): math.inf}


def test_margin_has_its_unit_and_a_ratio_to_the_limit() -> None:
    assert values("objective_margin") == {("recovery of deployment/shop", "s"): 16.0}
    assert values("objective_margin_ratio") == {("recovery of deployment/shop",): 0.8}


def test_times_are_unix_seconds() -> None:
    assert values("experiment_last_run_timestamp_seconds") == {("kind-test", "one", ""): BEGAN + 70}
    assert values("experiment_duration_seconds") == {("kind-test", "one", ""): 65}
    assert values("last_success_timestamp_seconds") == {("kind-test",): BEGAN + 80}
    assert values("last_run_duration_seconds") == {("kind-test",): 80}


def test_twin_that_broke_as_expected_has_passed() -> None:
    records = experiment(), twin()
    assert values("experiment_passed", *records) == {("kind-test", "one", ""): 1, ("kind-test", "one", "single"): 1}
    assert values("last_run_verdict", *records)["HELD",] == 1


def test_leftovers_and_skipped_experiments_are_counted() -> None:
    assert values("last_run_leftovers", experiment(faults=[leftover()])) == {("kind-test",): 1}
    skip = SkipRecord(id="a", name="a", reason="guard")
    assert values("last_run_skipped", experiment(), skipped=[skip]) == {("kind-test",): 1}


def test_game_day_has_its_verdict_and_times() -> None:
    day = GameDayRecord(name="weekly", started=moment(0), finished=moment(75), verdict=Verdict.HELD)
    assert values("gameday_verdict", game_day=day) == {("HELD",): 1, ("INCONCLUSIVE",): 0, ("BROKEN",): 0}
    assert values("gameday_last_success_timestamp_seconds", game_day=day) == {("kind-test", "weekly"): BEGAN + 75}
    assert values("gameday_duration_seconds", game_day=day) == {("kind-test", "weekly"): 75}


def test_game_day_that_has_not_ended_is_no_success() -> None:
    day = GameDayRecord(name="weekly", started=moment(0), verdict=Verdict.HELD)
    assert values("gameday_last_success_timestamp_seconds", game_day=day) == {}
    assert values("gameday_last_run_timestamp_seconds", game_day=day) == {("kind-test", "weekly"): BEGAN + 80}


def test_rerun_replaces_the_value_of_the_first_run() -> None:
    again = experiment(rerun=1, verdict=Verdict.BROKEN, passed=False)
    assert values("experiment_passed", experiment(), again) == {("kind-test", "one", ""): 0}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_value_in_a_usual_run(metric: object) -> None:
    day = GameDayRecord(name="weekly", started=moment(0), finished=moment(75), verdict=Verdict.HELD)
    assert metric in {sample.metric for sample in samples(run(experiment(), twin(), game_day=day))}


def test_no_series_is_there_twice() -> None:
    keys = [sample.key for sample in samples(run(experiment(), twin(), experiment(rerun=1)))]
    assert len(keys) == len(set(keys))

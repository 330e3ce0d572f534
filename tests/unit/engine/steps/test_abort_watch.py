"""Abort conditions are asked beside the experiment, and what they say ends the fault at once."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from harness.common.clock import FakeClock
from harness.common.errors import CapabilityMissing, InputError
from harness.engine.python_experiment import PythonExperiment
from harness.engine.steps.abort_watch import AbortWatch
from harness.experiment.abort import SERIES, AbortCondition
from harness.model.timeline import Observation, Timeline
from harness.model.verdict import Verdict
from harness.objectives.base import Due, LiveObjective
from harness.results.record import ExperimentRecord
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import EXPERIMENT, Stage
from tests.unit.prometheus.scripted_prometheus import Scripted, config, vector

CONDITION = AbortCondition(name="errors", query='sum(errors{namespace="$namespace"})', above=5)


def asked(answer: Any) -> tuple[Observation, Scripted]:
    script, timeline = Scripted({"query": answer}), Timeline(1000.0, 0.0)
    AbortWatch([CONDITION], script.prometheus(), "shop", timeline, FakeClock()).query()
    (seen,) = timeline.observations(SERIES, "errors")
    return seen, script


@pytest.mark.parametrize(
    ("answer", "values"), [(vector(7), [7.0]), (vector(1, 9), [1.0, 9.0]), (vector(), [])], ids=["one", "two", "none"]
)
def test_every_series_is_recorded_as_in_an_alert(answer: Any, values: list[float]) -> None:
    seen, script = asked(answer)
    assert (seen.value, seen.error) == ({"values": values}, None)
    assert script.queries()[0].query["query"] == 'sum(errors{namespace="shop"})'


@pytest.mark.parametrize("answer", [vector("NaN"), vector(1, "+Inf"), requests.Timeout("slow"), (500, {})])
def test_no_answer_is_an_error_and_not_good_news(answer: Any) -> None:
    seen, _ = asked(answer)
    assert seen.value is None
    assert seen.error


def test_watch_survives_an_unexpected_response() -> None:
    """It would die in silence, with its fault unwatched."""
    seen, _ = asked(OSError("of no known kind"))
    assert (seen.value, seen.error) == (None, "OSError: of no known kind")
    histogram = {"metric": {}, "histogram": [1.0, {"count": "3"}]}
    seen, _ = asked({"status": "success", "data": {"resultType": "vector", "result": [histogram]}})
    assert (seen.error or "").startswith("NotANumber: found a native histogram")


def test_a_watch_that_was_stopped_writes_no_more() -> None:
    """An answer that comes late must not grow a history that is being judged."""
    entered, leave = threading.Event(), threading.Event()

    def slow(_asked: Any) -> Any:
        entered.set()
        leave.wait(30)
        return vector(7)

    timeline = Timeline(1000.0, 0.0)
    watch = AbortWatch([CONDITION], Scripted({"query": slow}).prometheus(), "shop", timeline, FakeClock())
    with watch:
        entered.wait(30)
        watch._stop.set()
        leave.set()
    watch._thread.join(30)
    assert timeline.observations(SERIES) == []


class Doomed(Told, LiveObjective):
    """Beyond saving as soon as the fault is there."""

    kind: ClassVar[str] = "doomed"

    def breached(self, timeline: Timeline, due: Due) -> str:
        return "gone for good" if timeline.injections else ""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def play(stage: Stage, objective: Told, **changes: Any) -> ExperimentRecord:
    return stage.play(replace(stage.experiment(), faults=(Mark(),), objectives=(objective,), **changes))


def length(record: ExperimentRecord, name: str) -> float:
    (phase,) = (phase for phase in record.phases if phase.name == name)
    return (phase.end or 0.0) - phase.start


def test_breach_ends_the_fault_within_a_second_but_not_the_run(stage: Stage) -> None:
    record = play(stage, Doomed(says=Verdict.BROKEN, abortOnBreach=True))
    assert length(record, "fault") < 1.0
    assert [phase.name for phase in record.phases] == ["baseline", "fault", "recovery", "settle"]
    (fault,) = record.faults
    assert fault.undone is not None
    assert fault.undone.low - (record.stopped_at or 0.0) < 1.0
    assert (record.verdict, record.stopped_early) == (Verdict.BROKEN, "doomed: gone for good")
    assert "stopped early at" in record.reason
    assert "ended early: doomed: gone for good" in [event.message for event in record.events]


def test_without_asking_for_it_the_fault_takes_its_time(stage: Stage) -> None:
    record = play(stage, Doomed(says=Verdict.BROKEN))
    assert length(record, "fault") == pytest.approx(2.0)
    assert record.stopped_early == ""


def test_objective_judged_at_the_end_cannot_abort(stage: Stage) -> None:
    text = "objectives:\n  - recoveryTime: {of: deployment/shop, max: 10s, abortOnBreach: true}\n"
    with pytest.raises(InputError, match="abortOnBreach: unknown key"):
        stage.experiment(EXPERIMENT.partition("objectives:")[0] + text)


def test_python_test_ends_its_faults_itself(stage: Stage) -> None:
    """The objectives are named when the fault is over: to pass over the target in silence would be a trap."""
    test = PythonExperiment(stage.run(), "one", "it holds well", stage.root / "test_one.py", "test_one.py::test_one")
    with pytest.raises(InputError, match="found abortOnBreach in doomed, expected it only in an experiment file"):
        test.assert_objectives(Doomed(abortOnBreach=True))


class Answering:
    """Stands in for the watch's thread: writes what the condition would be told whenever time passes."""

    def __init__(self, stage: Stage, *, after: float) -> None:
        self.script = Scripted(
            {
                "status/config": config("1s"),
                "query": lambda _asked: vector(9 if stage.clock.monotonic() > self.since else 1),
            }
        )
        self.after, self.since, self.stage = after, float("inf"), stage
        self.watch: AbortWatch | None = None

    def attach(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sleep = self.stage.clock.sleep

        def enter(watch: AbortWatch) -> AbortWatch:
            self.watch, self.since = watch, self.stage.clock.monotonic() + self.after
            return watch

        def sleeping(seconds: float) -> None:
            sleep(seconds)
            if self.watch:
                self.watch.query()

        monkeypatch.setattr(AbortWatch, "__enter__", enter)
        monkeypatch.setattr(AbortWatch, "__exit__", lambda *_: None)
        monkeypatch.setattr(self.stage.clock, "sleep", sleeping)
        run = self.stage.run
        monkeypatch.setattr(self.stage, "run", lambda: replace(run(), prometheus=self.script.prometheus()))


def test_abort_undoes_the_fault_and_no_objective_holds(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Answering(stage, after=4.0).attach(monkeypatch)
    record = play(stage, Told(), abort=(CONDITION,))
    assert length(record, "fault") < 2.0
    assert record.verdict == Verdict.INCONCLUSIVE
    assert record.stopped_early == "errors was 9, above 5"
    assert record.reason.startswith("aborted at ")
    assert record.faults[0].undone is not None


def test_condition_met_before_the_fault_prevents_injection(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    Answering(stage, after=-1.0).attach(monkeypatch)
    record = play(stage, Told(), abort=(CONDITION,))
    assert record.reason == "nothing was injected because an abort condition is already met: errors was 9, above 5"
    assert record.faults[0].injected is None


def test_abort_condition_needs_prometheus(stage: Stage) -> None:
    with pytest.raises(CapabilityMissing, match="no Prometheus found, needed for the abort condition errors"):
        play(stage, Told(), abort=(CONDITION,))


def test_conditions_are_read_from_the_file(stage: Stage) -> None:
    text = EXPERIMENT + "abort:\n  - {name: errors, query: sum(errors), above: 5, for: 3s}\n"
    (condition,) = stage.experiment(text).abort
    assert (condition.above, condition.lasting) == (5, 3.0)
    with pytest.raises(InputError, match="expected exactly one of them"):
        stage.experiment(EXPERIMENT + "abort:\n  - {name: errors, query: sum(errors)}\n")

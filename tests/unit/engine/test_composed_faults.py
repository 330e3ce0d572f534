"""Faults at different times in one experiment: injected, proven and undone each for itself."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import ApiError, ClusterRefused
from harness.experiment.declaration import Experiment
from harness.experiment.phases import Length, Phases
from harness.experiment.timing import Timing
from harness.faults.base import Evidence, Fault, FaultContext
from harness.faults.pod_kill import PodKill
from harness.judging.early_stop import EarlyStop
from harness.model.timeline import Stop, Victim
from harness.model.verdict import Verdict
from harness.results.record import FaultRecord
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def composed(stage: Stage, *faults: tuple[Fault, dict[str, Any]], seconds: float = 10.0) -> Experiment:
    return replace(
        stage.experiment(),
        faults=tuple(fault for fault, _ in faults),
        timings=tuple(Timing.model_validate(timing) for _, timing in faults),
        objectives=(Told(),),
        phases=Phases(baseline=1.0, fault=Length.of(seconds), recovery=5.0, settle=1.0),
    )


def times(fault: FaultRecord, zero: float) -> tuple[float, float]:
    """Return when a fault was injected and undone, in whole seconds after the fault phase began."""
    assert fault.injected
    assert fault.undone
    return round(fault.injected.low - zero), round(fault.undone.high - zero)


def test_faults_overlap_and_each_is_undone_at_its_time(stage: Stage) -> None:
    long, short = Mark(mark="long"), Mark(mark="short")
    record = stage.play(composed(stage, (long, {"at": 1}), (short, {"at": 3, "for": 2})))
    zero = next(phase.start for phase in record.phases if phase.name == "fault")
    assert [times(fault, zero) for fault in record.faults] == [(1, 10), (3, 5)]
    assert [fault.timing for fault in record.faults] == ["at 1 s", "at 3 s, for 2 s"]
    assert [len(fault.undo) for fault in record.faults] == [1, 1]
    assert (record.verdict, record.passed) == (Verdict.HELD, True)
    steps = [line.partition(": ")[2] for line in stage.said if "→" in line or "undoing" in line]
    assert steps == [
        *("mark → configmap/long", "mark → configmap/short", "undoing mark → configmap/short", "undoing"),
    ]


def test_repeated_fault_has_a_record_for_each_time(stage: Stage) -> None:
    record = stage.play(composed(stage, (Mark(), {"every": 4, "times": 2, "for": 1})))
    zero = next(phase.start for phase in record.phases if phase.name == "fault")
    assert [times(fault, zero) for fault in record.faults] == [(0, 1), (4, 5)]
    assert [fault.timing for fault in record.faults] == [
        *("for 1 s, every 4 s, 2 times; 1 of 2", "for 1 s, every 4 s, 2 times; 2 of 2"),
    ]
    assert all(fault.proven for fault in record.faults)
    assert stage.namespaces() == []


class Shown(Mark):
    """Its evidence takes a request of so many seconds; it fails if the limit is shorter."""

    request: float

    def evidence(self, context: FaultContext, victims: tuple[Victim, ...]) -> Evidence:
        if context.api.patience.left(self.request, "evidence") < self.request:
            raise ApiError(0, "TimedOut", "no answer in time")
        context.clock.sleep(self.request)
        return super().evidence(context, victims)


@pytest.mark.parametrize(
    "before", [(), ((Shown(mark="endless", request=90.0), {}),)], ids=["alone", "beside an endless one"]
)
def test_evidence_is_found_on_a_slow_cluster(stage: Stage, before: tuple[tuple[Fault, dict[str, Any]], ...]) -> None:
    first, second = Shown(mark="first", request=2.0), Mark(mark="second")
    record = stage.play(composed(stage, *before, (first, {"name": "first"}), (second, {"after": "first"})))
    assert [fault.proven for fault in record.faults[len(before) :]] == [True, True]


def test_each_time_has_new_victims(stage: Stage) -> None:
    kill = PodKill(selector="app=shop", count=1)
    record = stage.play(composed(stage, (kill, {"every": 3, "times": 3})))
    victims = [fault.victims[0].uid for fault in record.faults]
    assert len(set(victims)) == 3
    assert all(fault.proven for fault in record.faults)


def test_fault_after_another_begins_when_that_is_undone(stage: Stage) -> None:
    first, second = Mark(mark="first"), Mark(mark="second")
    record = stage.play(composed(stage, (second, {"after": "one", "at": 2}), (first, {"name": "one", "for": 3})))
    zero = next(phase.start for phase in record.phases if phase.name == "fault")
    assert [times(fault, zero) for fault in record.faults] == [(5, 10), (0, 3)]


def test_condition_that_is_never_met_is_inconclusive(stage: Stage) -> None:
    when = {"rollout": "deployment/shop", "is": "progressing", "within": "4s"}
    record = stage.play(composed(stage, (Mark(), {"when": when})))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert "a fault was not injected: after 4 s it was not seen that" in record.reason
    assert [fault.evidence for fault in record.faults] == ["not injected"]


def test_condition_is_met_by_an_earlier_fault(stage: Stage) -> None:
    when = {"rollout": "deployment/shop", "is": "complete"}
    record = stage.play(composed(stage, (Mark(), {"when": when, "for": 1})))
    assert (record.verdict, record.faults[0].proven) == (Verdict.HELD, True)


def test_missing_evidence_of_one_time_is_inconclusive(stage: Stage) -> None:
    record = stage.play(composed(stage, (Mark(fails="proof"), {"for": 1}), (Mark(mark="other"), {"at": 3})))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert record.reason.startswith("no evidence that mark took effect")
    assert [fault.proven for fault in record.faults] == [False, True]


def test_guard_counts_what_is_still_in_effect(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def refusals(_api: Any, _own: Any, strikes: Any, *_rest: Any, **_more: Any) -> list[str]:
        asked.append([str(victim) for strike in strikes for victim in strike.victims])
        return []

    monkeypatch.setattr("harness.engine.steps.effects.refusals", refusals)
    faults = [(Mark(mark="a"), {"for": 3}), (Mark(mark="b"), {"at": 2, "for": 4}), (Mark(mark="c"), {"at": 5})]
    stage.play(composed(stage, *faults))
    assert asked == [["configmap/a"], ["configmap/a", "configmap/b"], ["configmap/b", "configmap/c"]]


def test_refusal_of_a_later_fault_undoes_the_earlier(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusals(_api: Any, _own: Any, strikes: Any, *_rest: Any, **_more: Any) -> list[str]:
        return ["too much"] if len(strikes) > 1 else []

    monkeypatch.setattr("harness.engine.steps.effects.refusals", refusals)
    faults = [(Mark(mark="a"), {}), (Mark(mark="b"), {"at": 2})]
    with pytest.raises(ClusterRefused, match="nothing more was injected: too much"):
        stage.play(composed(stage, *faults))
    assert stage.namespaces() == []
    assert stage.stored().faults[0].undo[0].state == "done"


def test_nothing_is_injected_after_an_abort(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look at the abort condition takes until the next fault is due."""

    def look(_self: EarlyStop, now: float, _left: float) -> Stop:
        stage.clock.sleep(5.0)
        return Stop(now, "abort", "too many errors")

    monkeypatch.setattr(EarlyStop, "enabled", True)
    monkeypatch.setattr(EarlyStop, "look", look)
    record = stage.play(composed(stage, (Mark(mark="a"), {}), (Mark(mark="b"), {"at": 2})))
    assert [fault.evidence for fault in record.faults] == ["the mark is there", "not injected"]
    assert record.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("told", "verdict"), [(Verdict.HELD, Verdict.INCONCLUSIVE), (Verdict.BROKEN, Verdict.BROKEN)])
def test_postponed_fault_takes_nothing_from_a_broken_verdict(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, told: Verdict, verdict: Verdict
) -> None:
    monkeypatch.setattr("harness.engine.runner.pods_down", lambda timeline: len(timeline.injections))
    experiment = composed(stage, (Mark(), {"every": 2, "times": 2, "for": 1, "downBelow": 1}))
    record = stage.play(replace(experiment, objectives=(Told(says=told),)))
    assert record.verdict is verdict
    assert [fault.evidence for fault in record.faults] == ["the mark is there"]


def test_postponed_fault_is_injected_when_the_pods_are_back(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    down = iter([1] * 20)
    monkeypatch.setattr("harness.engine.runner.pods_down", lambda _timeline: next(down, 0))
    record = stage.play(composed(stage, (Mark(), {"downBelow": 1, "for": 1})))
    zero = next(phase.start for phase in record.phases if phase.name == "fault")
    assert record.faults[0].injected
    assert record.faults[0].injected.low > zero + 1.0
    assert record.verdict is Verdict.HELD


def test_chaos_monkey_hits_pods_at_random_times(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # The watch of the fake cluster has a thread, which may be later than the fake clock.
    monkeypatch.setattr("harness.engine.runner.pods_down", lambda _timeline: 0)
    kill = PodKill(selector="*", count=1)
    record = stage.play(composed(stage, (kill, {"every": 3, "times": 4, "jitter": 2, "downBelow": 1}), seconds=20.0))
    starts = [fault.injected.low for fault in record.faults if fault.injected]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert len(starts) == 4
    assert len({round(gap, 2) for gap in gaps}) > 1
    assert record.verdict is Verdict.HELD

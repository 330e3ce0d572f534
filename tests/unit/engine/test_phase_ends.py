"""A phase ends as soon as no objective waits for anything, and all faults are injected and proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from harness.experiment.declaration import Experiment
from harness.experiment.phases import Length, Phases
from harness.experiment.timing import Timing
from harness.model.finding import Finding
from harness.model.timeline import Timeline
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def played(stage: Stage, *timings: dict[str, Any], waits: float = 0.0, fails: str = "") -> ExperimentRecord:
    """Play an experiment with a fault phase of 4 s to 20 s; its objective waits so long after the phase began."""

    class Waiting(Told):
        def awaits(self, timeline: Timeline) -> str:
            phase = timeline.phase("fault")
            assert phase
            return "" if timeline.offset(stage.clock.monotonic()) >= phase.start + waits else "not yet"

    experiment: Experiment = replace(
        stage.experiment(),
        faults=tuple(Mark(mark=f"mark-{number}", fails=fails) for number in range(len(timings))),
        timings=tuple(map(Timing.model_validate, timings)),
        objectives=(Waiting(),),
        phases=Phases(baseline=1.0, fault=Length(at_least=4.0, at_most=20.0), recovery=5.0, settle=1.0),
    )
    return stage.play(experiment)


def length(record: ExperimentRecord) -> int:
    """Return how long the fault phase was, in whole seconds."""
    (phase,) = (phase for phase in record.phases if phase.name == "fault")
    assert phase.end is not None
    return round(phase.end - phase.start)


@pytest.mark.parametrize(("waits", "seconds"), [(0.0, 4), (3.0, 4), (9.0, 9), (90.0, 20)])
def test_phase_ends_when_the_objective_has_what_it_needs(stage: Stage, waits: float, seconds: int) -> None:
    record = played(stage, {}, waits=waits)
    assert (length(record), record.verdict) == (seconds, Verdict.HELD)


@pytest.mark.parametrize(
    ("timings", "seconds"),
    [
        ([{"at": 7}], 7),
        ([{"at": 5, "for": 6}], 11),
        ([{"every": 3, "times": 4, "for": 1}], 10),
        ([{"name": "one", "for": 5}, {"after": "one", "at": 4}], 9),
    ],
)
def test_phase_waits_for_every_due_injection(stage: Stage, timings: Sequence[dict[str, Any]], seconds: int) -> None:
    record = played(stage, *timings)
    assert abs(length(record) - seconds) <= 1, "evidence is looked for twice a second"
    assert all(fault.proven for fault in record.faults)


def test_phase_waits_for_evidence_until_its_end(stage: Stage) -> None:
    record = played(stage, {}, fails="proof")
    assert (length(record), record.verdict) == (20, Verdict.INCONCLUSIVE)


def test_record_shows_the_longest_length(stage: Stage) -> None:
    record = played(stage, {})
    assert [phase.at_most for phase in record.phases] == [None, 20.0, 5.0, None]
    assert any(line.endswith("fault 4 s to 20 s") for line in stage.said)


@pytest.mark.parametrize(
    ("variant", "seconds"),
    [({}, 20), ({"twin": "slow"}, 5), ({"mutant": "replicas-1"}, 5)],
    ids=["experiment", "twin", "mutant"],
)
def test_recovery_of_a_variant_ends_once_it_is_broken(stage: Stage, variant: dict[str, str], seconds: int) -> None:
    class Late(Told):
        def pending(self, timeline: Timeline) -> str:
            return "still down"

        def overdue(self, timeline: Timeline) -> bool:
            phase = timeline.phase("recovery")
            return phase is not None and timeline.offset(stage.clock.monotonic()) > phase.start + 5.0

    experiment: Experiment = replace(
        stage.experiment(),
        faults=(Mark(mark="mark"),),
        objectives=(Late(),),
        phases=Phases(baseline=1.0, fault=Length.of(1.0), recovery=20.0, settle=1.0),
        **variant,  # type: ignore[arg-type]
    )
    (phase,) = (phase for phase in stage.play(experiment).phases if phase.name == "recovery")
    assert phase.end is not None
    assert round(phase.end - phase.start) == seconds


@pytest.mark.parametrize(
    ("variant", "lengths"),
    [({}, (8, 6, 3)), ({"twin": "slow", "breaks": ("told",)}, (3, 0, 0)), ({"mutant": "replicas-1"}, (3, 0, 0))],
    ids=["experiment", "twin", "mutant"],
)
def test_variant_ends_once_it_is_broken_for_certain(
    stage: Stage, variant: dict[str, Any], lengths: tuple[int, ...]
) -> None:
    """The limit of the objective passes 2.5 s after the fault; only the recovery of an experiment waits 6 s."""

    class Late(Told):
        broken_is_final: ClassVar[bool] = True

        def _since_the_fault(self, timeline: Timeline) -> float:
            phase = timeline.phase("fault")
            return timeline.offset(stage.clock.monotonic()) - phase.start if phase else 0.0

        def pending(self, timeline: Timeline) -> str:
            return "still down" if self._since_the_fault(timeline) < 14.0 else ""

        def judge(self, timeline: Timeline, phases: Sequence[str] | None = None) -> Finding:
            late = self._since_the_fault(timeline) > 2.5
            return Finding(verdict=Verdict.BROKEN if late else Verdict.HELD, reason="the limit passed")

    experiment: Experiment = replace(
        stage.experiment(),
        faults=(Mark(mark="mark"),),
        objectives=(Late(),),
        phases=Phases(baseline=1.0, fault=Length.of(8.0), recovery=20.0, settle=3.0),
        **variant,
    )
    record = stage.play(experiment)
    found = [phase.end - phase.start for phase in record.phases if phase.end is not None]
    assert tuple(map(round, found[1:])) == lengths
    assert record.verdict is Verdict.BROKEN
    assert record.passed == bool(variant)
    assert bool(record.stopped_early) == bool(variant)

"""An experiment waits for the first scrapes before its baseline, and for those of new pods before it settles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.experiment.declaration import Experiment
from harness.experiment.phases import Length, Phases
from harness.model.phase_names import BASELINE, SETTLE
from harness.model.timeline import Observation
from harness.model.verdict import Verdict
from harness.objectives.prometheus import Prometheus as PrometheusObjective
from harness.probes.base import ProbeContext
from harness.probes.prometheus.query import PrometheusQueries
from harness.probes.prometheus.ready import ScrapeGate
from harness.results.record import ExperimentRecord
from tests.fake_plugin import Mark, kinds
from tests.fake_run import Stage
from tests.unit.prometheus.scripted_prometheus import Scripted, config

SERVED = PrometheusObjective(name="served", value="hits", min=1, phases=["settle"])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    monkeypatch.setattr(PrometheusQueries, "look", answered)
    found = Stage(tmp_path)
    script = Scripted({"status/config": config("1s")})
    run = found.run
    monkeypatch.setattr(found, "run", lambda: replace(run(), prometheus=script.prometheus()))
    return found


def answered(_queries: PrometheusQueries, context: ProbeContext) -> None:
    """Every phase that is over has served."""
    for phase in context.timeline.phases:
        context.timeline.add(Observation("prometheus", "served", phase.end, {"phase": phase.name, "value": 5.0}))


def late_by(seconds: float, phase: str, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Prometheus finds the pods of a phase so many seconds after it was first asked; when it was asked."""
    asked: list[float] = []

    def missing(gate: ScrapeGate, context: ProbeContext) -> list[str]:
        settling = bool(context.timeline.phases)
        if settling is not (phase == SETTLE):
            return []
        asked.append(context.clock.monotonic())
        return ["shop-1 (not found by Prometheus yet)"] if asked[-1] - asked[0] < seconds else []

    monkeypatch.setattr(ScrapeGate, "missing", missing)
    return asked


def experiment(stage: Stage) -> Experiment:
    phases = Phases(baseline=4.0, fault=Length.of(2.0), recovery=5.0, settle=4.0)
    return replace(stage.experiment(), faults=(Mark(),), objectives=(SERVED,), phases=phases)


def begins(record: ExperimentRecord, name: str) -> float:
    return next(phase.start for phase in record.phases if phase.name == name)


def test_the_baseline_begins_when_all_targets_are_scraped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = late_by(8.0, BASELINE, monkeypatch)
    record = stage.play(experiment(stage))
    assert (
        "one-killed: waiting up to 32 s for the first scrapes of Prometheus: shop-1 (not found by Prometheus yet)"
        in stage.said
    )
    assert asked[-1] - asked[0] >= 8.0
    assert begins(record, BASELINE) >= 8.0


def test_a_target_that_is_never_scraped_is_named(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    late_by(1000.0, BASELINE, monkeypatch)
    record = stage.play(experiment(stage))
    assert record.verdict is Verdict.INCONCLUSIVE
    assert record.phases == []
    assert record.reason == (
        "Prometheus does not scrape every target that objectives or abort conditions read, 32 s after the workload was "
        "ready: shop-1 (not found by Prometheus yet)"
    )


@pytest.mark.parametrize(("late", "recovery"), [(3.0, 3.0), (1000.0, 5.0)])
def test_recovery_lasts_until_new_pods_are_scraped(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, late: float, recovery: float
) -> None:
    """At most its declared length: what is not scraped then is for the judge to see."""
    late_by(late, SETTLE, monkeypatch)
    record = stage.play(experiment(stage))
    assert begins(record, SETTLE) - begins(record, "recovery") == pytest.approx(recovery, abs=0.6)


def test_prometheus_is_not_contacted_without_queries(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = late_by(1000.0, BASELINE, monkeypatch)
    stage.play(replace(experiment(stage), objectives=()))
    assert asked == []

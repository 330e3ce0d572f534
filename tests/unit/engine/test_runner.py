"""One experiment from its declaration to its verdict: the order, and whatever may go wrong on the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.kube import namespaces
from harness.cluster.kube.client import KubeApi
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.errors import ApiError, CapabilityMissing, HarnessError, LeftBehind, TimedOut, UndoFailed
from harness.engine.options import Keep
from harness.engine.steps.site import Site
from harness.experiment.declaration import Experiment
from harness.model.verdict import Verdict
from harness.results.record import ExperimentRecord, RunRecord
from harness.results.reporting.store import RunStore
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def marked(stage: Stage, *objectives: Told, **fault: Any) -> Experiment:
    """An experiment whose fault and objectives do as they are told."""
    return replace(stage.experiment(), faults=(Mark(**fault),), objectives=objectives or (Told(),))


def marks(stage: Stage) -> list[str]:
    """Effects that are still in the cluster."""
    found = stage.cluster.server.store.list(CONFIG_MAPS)
    return [item["metadata"]["name"] for item in found if item["metadata"]["name"] == "broken"]


def undo_states(record: ExperimentRecord) -> list[str]:
    return [undo.state for fault in record.faults for undo in fault.undo]


def test_steps_run_in_order_and_leave_nothing(stage: Stage) -> None:
    record = stage.play(marked(stage))
    steps = [line.partition(": ")[2] for line in stage.said]
    assert steps == [
        *("deploying", "baseline 1 s", "fault 2 s", "mark → configmap/broken", "undoing", "recovery at most 5 s"),
        *("settle 1 s", "querying probes and Prometheus", "HELD: told: told HELD", "cleaning up"),
    ]
    assert [phase.name for phase in record.phases] == ["baseline", "fault", "recovery", "settle"]
    assert (record.verdict, record.passed, record.stage) == (Verdict.HELD, True, "closed")
    assert undo_states(record) == ["done"]
    assert marks(stage) == []
    assert stage.namespaces() == []
    assert stage.stored() == record


def test_a_real_fault_is_proven_and_its_victim_named(stage: Stage) -> None:
    record = stage.play()
    (fault,) = record.faults
    assert fault.proven
    assert [victim.kind for victim in fault.victims] == ["Pod"]
    assert fault.victims[0].name in fault.evidence


def test_the_same_seed_chooses_the_same_victim(tmp_path: Path) -> None:
    victims = {Stage(tmp_path / str(turn)).play().faults[0].victims[0].name for turn in range(3)}
    assert len(victims) == 1


def test_failed_steady_state_prevents_injection(stage: Stage) -> None:
    record = stage.play(marked(stage, Told(steady=Verdict.BROKEN)))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "the steady state did not hold, nothing was injected: told: told BROKEN" in record.reason
    assert [finding.verdict for finding in record.baseline] == [Verdict.BROKEN]
    assert [phase.name for phase in record.phases] == ["baseline"]
    assert record.faults[0].injected is None
    created = [call for call in stage.cluster.server.calls if call.method == "POST" and "configmaps" in call.path]
    assert created == []


def test_unproven_fault_is_inconclusive_despite_the_objectives(stage: Stage) -> None:
    record = stage.play(marked(stage, Told(says=Verdict.BROKEN), fails="proof"))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "no evidence that mark took effect" in record.reason


def test_crashing_judge_is_inconclusive(stage: Stage) -> None:
    record = stage.play(marked(stage, Told(crashes=True)))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "ZeroDivisionError" in record.reason


@pytest.mark.parametrize("step", ["choose", "inject", "evidence"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [("api", ApiError), ("harness", HarnessError), ("bug", ZeroDivisionError), ("interrupt", KeyboardInterrupt)],
)
def test_early_end_is_undone_reported_and_reraised(
    stage: Stage, step: str, error: str, raised: type[BaseException]
) -> None:
    if (step, error) == ("evidence", "api"):
        # Looking may fail and be tried again; that is no reason to end.
        assert "could not check" in stage.play(marked(stage, fails=step, error=error)).reason
        return
    with pytest.raises(raised):
        stage.play(marked(stage, fails=step, error=error))
    record = stage.stored()
    assert record.stage == "closed"
    assert record.verdict == Verdict.INCONCLUSIVE
    assert record.reason.startswith("interrupted by SIGINT" if error == "interrupt" else "the experiment could not run")
    assert marks(stage) == []
    assert stage.namespaces() == []
    assert set(undo_states(record)) <= {"done"}


@pytest.mark.parametrize("phase", ["baseline", "fault", "recovery", "settle"])
def test_an_interruption_in_any_phase_leaves_nothing(stage: Stage, phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = stage.clock.sleep

    def interrupted(seconds: float) -> None:
        if any(f"one-killed: {phase}" in line for line in stage.said):
            monkeypatch.setattr(stage.clock, "sleep", sleep)
            raise KeyboardInterrupt
        sleep(seconds)

    monkeypatch.setattr(stage.clock, "sleep", interrupted)
    waiting = Told()
    monkeypatch.setattr(Told, "pending", lambda self, timeline: "waits")
    with pytest.raises(KeyboardInterrupt):
        stage.play(marked(stage, waiting))
    record = stage.stored()
    assert record.reason == "interrupted by SIGINT"
    assert record.interrupted
    assert record.phases[-1].name == phase
    assert (marks(stage), stage.namespaces()) == ([], [])


def test_failed_undo_fails_the_run_and_cleanup_continues(stage: Stage) -> None:
    with pytest.raises(UndoFailed, match="the mark resists"):
        stage.play(marked(stage, fails="undo"))
    record = stage.stored()
    assert record.verdict == Verdict.INCONCLUSIVE
    assert not record.passed
    assert record.reason.startswith("UNDO FAILED: take the mark away: the mark resists")
    assert undo_states(record) == ["failed"]
    assert stage.namespaces() == []


def test_an_undo_outlasts_a_moment_without_api_server(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    undo, tries = Mark.undo, iter([503, 503, 503])

    def away(cluster: Any, parameters: Any) -> str:
        status = next(tries, None)
        if status:
            raise ApiError(status, "ServiceUnavailable", "away")
        return undo(cluster, parameters)

    monkeypatch.setattr(Mark, "undo", away)
    record = stage.play(marked(stage))
    assert record.verdict == Verdict.HELD
    assert marks(stage) == []


def test_a_storm_of_api_errors_does_not_keep_the_namespace(stage: Stage) -> None:
    stage.cluster.server.fail_next(500, count=9, method="DELETE", path="/namespaces/rh-")
    record = stage.play(marked(stage))
    assert record.passed
    assert stage.namespaces() == []


def test_stuck_namespace_fails_the_run(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = KubeApi.delete

    def stuck(self: KubeApi, resource: Any, *arguments: Any, **options: Any) -> None:
        if resource == CONFIG_MAPS:
            delete(self, resource, *arguments, **options)

    monkeypatch.setattr(KubeApi, "delete", stuck)
    with pytest.raises(UndoFailed, match=f"namespace {stage.namespace} is still there"):
        stage.play(marked(stage))
    record = stage.stored()
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert record.reason.startswith(f"UNDO FAILED: remove namespace {stage.namespace}")
    assert f"LEFT BEHIND: namespaces/{stage.namespace} was not there before" in record.notes
    assert "the verdict before this error was HELD: told: told HELD" in record.reason


def test_failed_undo_is_reported_even_if_a_namespace_stays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_: Any) -> None:
        raise TimedOut("namespace gone", 90, "there")

    monkeypatch.setattr("harness.cluster.kube.namespaces.remove_namespace", stuck)
    with pytest.raises(HarnessError):
        stage.play(marked(stage, fails="undo"))
    assert "UNDO FAILED" in stage.stored().reason


def test_interruption_is_kept_if_the_undo_fails_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "evidence", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        stage.play(marked(stage, fails="undo"))
    record = stage.stored()
    assert "UNDO FAILED" in record.reason
    assert undo_states(record) == ["failed"]


def test_signal_during_cleanup_waits_for_its_end(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict was reached before: it stays, and the session ends."""
    remove = namespaces.remove_namespace

    def ringing(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        remove(*arguments)

    monkeypatch.setattr(namespaces, "remove_namespace", ringing)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        stage.play(marked(stage))
    assert stage.namespaces() == []
    assert stage.stored().verdict == Verdict.HELD


def test_leak_behind_a_signal_is_reported_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise LeftBehind("configmap/forgotten is still there")

    monkeypatch.setattr(Site, "close", leaking)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        stage.play(marked(stage))
    record = stage.stored()
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert "configmap/forgotten is still there; the verdict before this error was HELD" in record.reason


def test_verdict_counts_only_after_the_leftover_check(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is found when the process dies at the last moment of the cleaning up."""
    found: list[ExperimentRecord] = []
    close = Site.close

    def dying(*arguments: Any) -> None:
        close(*arguments)
        found.extend(stage.store.merge(RunRecord(run="run1", started="", seed=1, harness="")).experiments)

    monkeypatch.setattr(Site, "close", dying)
    stage.play(marked(stage))
    (record,) = found
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert record.reason == ("the run ended before the check for leftovers; verdict before that: HELD: told: told HELD")
    assert stage.stored().verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("keep", "says", "kept"),
    [
        (Keep.NEVER, Verdict.BROKEN, False),
        (Keep.ON_FAILURE, Verdict.HELD, False),
        (Keep.ON_FAILURE, Verdict.BROKEN, True),
        (Keep.ALWAYS, Verdict.HELD, True),
    ],
)
def test_namespace_is_kept_on_request_but_never_its_effects(
    stage: Stage, keep: Keep, says: Verdict, kept: bool
) -> None:
    stage.keep = keep
    record = stage.play(marked(stage, Told(says=says)))
    assert bool(stage.namespaces()) is kept
    assert any("was kept" in note for note in record.notes) is kept
    assert marks(stage) == []


def test_the_record_is_stored_at_every_stage(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    save = RunStore.save

    def saving(self: RunStore, record: ExperimentRecord) -> Path:
        stages.append(record.stage)
        return save(self, record)

    monkeypatch.setattr(RunStore, "save", saving)
    stage.play(marked(stage))
    assert list(dict.fromkeys(stages)) == ["declared", "observed", "judged", "closed"]


def test_evidence_is_kept_only_for_failures(stage: Stage) -> None:
    assert stage.play(marked(stage)).evidence_files == []
    kept = Stage(stage.root / "again").play(replace(marked(stage), objectives=(Told(says=Verdict.BROKEN),)))
    assert any(file.endswith("pods.yaml") for file in kept.evidence_files)


def test_a_record_that_cannot_be_described_keeps_its_verdict(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("a bug in the chart")

    monkeypatch.setattr("harness.engine.record_keeping.describe_run", broken)
    with pytest.raises(LookupError):
        stage.play(marked(stage))
    record = stage.stored()
    assert (record.verdict, record.stage) == (Verdict.INCONCLUSIVE, "closed")
    assert "LookupError: a bug in the chart" in record.reason


def test_missing_capability_is_reported_before_any_change(stage: Stage) -> None:
    stage.cluster._images = ()
    with pytest.raises(CapabilityMissing, match="has no image podinfo"):
        stage.play(marked(stage))
    assert [call for call in stage.cluster.server.calls if call.writes] == []
    assert stage.stored().verdict == Verdict.INCONCLUSIVE


def test_refused_manifest_quotes_the_server(stage: Stage) -> None:
    stage.cluster.server.fail_next(422, "Invalid", "no such field", method="PATCH", path="deployments")
    record = stage.play(marked(stage))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "deployment/shop was rejected: 422 Invalid" in record.reason
    assert "no such field" in record.reason
    assert stage.namespaces() == []


def test_a_twin_passes_only_when_broken_on_what_it_names(stage: Stage) -> None:
    told: Callable[..., ExperimentRecord] = lambda says: stage.play(  # noqa: E731
        replace(marked(stage, Told(says=says)), twin="without", breaks=("told",))
    )
    assert told(Verdict.BROKEN).passed
    assert not told(Verdict.HELD).passed
    assert not told(Verdict.INCONCLUSIVE).passed

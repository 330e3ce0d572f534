"""One experiment from its declaration to its verdict: the order, and whatever may go wrong on the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import arrange
from harness.cluster.api import KubeApi
from harness.cluster.resources import CONFIG_MAPS
from harness.errors import ApiError, CapabilityMissing, HarnessError, LeftBehind, TimedOut, UndoFailed
from harness.experiment import Experiment
from harness.record import ExperimentRecord, RunRecord
from harness.reporting.store import RunStore
from harness.settings import Keep
from harness.site import Site
from harness.verdict import Verdict
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.registry.{kind}", found)
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


def test_the_steps_come_in_their_order_and_leave_nothing(stage: Stage) -> None:
    record = stage.play(marked(stage))
    steps = [line.partition(": ")[2] for line in stage.said]
    assert steps == [
        *("deploying", "baseline 1 s", "fault 2 s", "mark → configmap/broken", "undoing", "recovery at most 5 s"),
        *("settle 1 s", "looking back", "HELD: told: told HELD", "cleaning up"),
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


def test_nothing_is_injected_when_the_steady_state_does_not_hold(stage: Stage) -> None:
    record = stage.play(marked(stage, Told(steady=Verdict.BROKEN)))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "the steady state does not hold, nothing was injected: told: told BROKEN" in record.reason
    assert [finding.verdict for finding in record.baseline] == [Verdict.BROKEN]
    assert [phase.name for phase in record.phases] == ["baseline"]
    assert record.faults[0].injected is None
    created = [call for call in stage.cluster.server.calls if call.method == "POST" and "configmaps" in call.path]
    assert created == []


def test_an_unproven_fault_is_inconclusive_whatever_the_objectives_say(stage: Stage) -> None:
    record = stage.play(marked(stage, Told(says=Verdict.BROKEN), fails="proof"))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "mark is not proven to have bitten" in record.reason


def test_a_judge_that_crashes_has_shown_nothing(stage: Stage) -> None:
    record = stage.play(marked(stage, Told(crashes=True)))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "ZeroDivisionError" in record.reason


@pytest.mark.parametrize("step", ["choose", "inject", "evidence"])
@pytest.mark.parametrize(
    ("error", "raised"),
    [("api", ApiError), ("harness", HarnessError), ("bug", ZeroDivisionError), ("interrupt", KeyboardInterrupt)],
)
def test_whatever_ends_it_early_is_undone_told_and_passed_on(
    stage: Stage, step: str, error: str, raised: type[BaseException]
) -> None:
    if (step, error) == ("evidence", "api"):
        # Looking may fail and be tried again; that is no reason to end.
        assert "could not be looked at" in stage.play(marked(stage, fails=step, error=error)).reason
        return
    with pytest.raises(raised):
        stage.play(marked(stage, fails=step, error=error))
    record = stage.stored()
    assert record.stage == "closed"
    assert record.verdict == Verdict.INCONCLUSIVE
    assert record.reason.startswith("interrupted by SIGINT" if error == "interrupt" else "the experiment could not be")
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
    assert record.phases[-1].name == phase
    assert (marks(stage), stage.namespaces()) == ([], [])


def test_an_undo_that_fails_makes_the_run_fail_and_stops_no_cleaning_up(stage: Stage) -> None:
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


def test_a_namespace_that_stays_makes_the_run_fail(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    delete = KubeApi.delete

    def stuck(self: KubeApi, resource: Any, *arguments: Any, **options: Any) -> None:
        if resource == CONFIG_MAPS:
            delete(self, resource, *arguments, **options)

    monkeypatch.setattr(KubeApi, "delete", stuck)
    with pytest.raises(UndoFailed, match="namespace rh-one-killed-run1 is still there"):
        stage.play(marked(stage))
    record = stage.stored()
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert record.reason.startswith("UNDO FAILED: remove namespace rh-one-killed-run1")
    assert "LEFT BEHIND: namespaces/rh-one-killed-run1 was not there before" in record.notes
    assert "before that: HELD: told: told HELD" in record.reason


def test_an_undo_that_fails_is_not_hidden_by_a_namespace_that_stays(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: Any) -> None:
        raise TimedOut("namespace gone", 90, "there")

    monkeypatch.setattr("harness.arrange.remove_namespace", stuck)
    with pytest.raises(HarnessError):
        stage.play(marked(stage, fails="undo"))
    assert "UNDO FAILED" in stage.stored().reason


def test_an_interruption_stays_one_when_the_undo_fails_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "evidence", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        stage.play(marked(stage, fails="undo"))
    record = stage.stored()
    assert "UNDO FAILED" in record.reason
    assert undo_states(record) == ["failed"]


def test_a_signal_while_cleaning_up_waits_until_it_is_done(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict was reached before: it stays, and the session ends."""
    remove = arrange.remove_namespace

    def ringing(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        remove(*arguments)

    monkeypatch.setattr(arrange, "remove_namespace", ringing)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        stage.play(marked(stage))
    assert stage.namespaces() == []
    assert stage.stored().verdict == Verdict.HELD


def test_a_leak_behind_a_signal_is_told_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaking(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise LeftBehind("configmap/forgotten is still there")

    monkeypatch.setattr(Site, "leave", leaking)
    with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        stage.play(marked(stage))
    record = stage.stored()
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert "configmap/forgotten is still there; before that: HELD" in record.reason


def test_no_verdict_counts_until_it_was_seen_that_nothing_is_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is found when the process dies at the last moment of the cleaning up."""
    found: list[ExperimentRecord] = []
    leave = Site.leave

    def dying(*arguments: Any) -> None:
        leave(*arguments)
        found.extend(stage.store.merge(RunRecord(run="run1", started="", seed=1, harness="")).experiments)

    monkeypatch.setattr(Site, "leave", dying)
    stage.play(marked(stage))
    (record,) = found
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert record.reason == (
        "the run ended before it was seen that nothing was left behind; its verdict until then: HELD: told: told HELD"
    )
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
def test_the_namespace_is_kept_as_asked_and_its_effects_never(
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


def test_evidence_is_kept_only_of_what_did_not_pass(stage: Stage) -> None:
    assert stage.play(marked(stage)).evidence_files == []
    kept = Stage(stage.root / "again").play(replace(marked(stage), objectives=(Told(says=Verdict.BROKEN),)))
    assert any(file.endswith("pods.yaml") for file in kept.evidence_files)


def test_a_record_that_cannot_be_described_keeps_its_verdict(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise LookupError("a bug in the chart")

    monkeypatch.setattr("harness.record_keeping.describe_run", broken)
    with pytest.raises(LookupError):
        stage.play(marked(stage))
    record = stage.stored()
    assert (record.verdict, record.stage) == (Verdict.INCONCLUSIVE, "closed")
    assert "LookupError: a bug in the chart" in record.reason


def test_what_the_cluster_cannot_do_is_told_before_anything_is_touched(stage: Stage) -> None:
    stage.cluster._images = ()
    with pytest.raises(CapabilityMissing, match="has no image podinfo"):
        stage.play(marked(stage))
    assert [call for call in stage.cluster.server.calls if call.writes] == []
    assert stage.stored().verdict == Verdict.INCONCLUSIVE


def test_a_refused_manifest_is_told_in_the_servers_words(stage: Stage) -> None:
    stage.cluster.server.fail_next(422, "Invalid", "no such field", method="PATCH", path="deployments")
    record = stage.play(marked(stage))
    assert record.verdict == Verdict.INCONCLUSIVE
    assert "deployment/shop was refused: 422 Invalid" in record.reason
    assert "no such field" in record.reason
    assert stage.namespaces() == []


def test_a_twin_passes_only_when_broken_on_what_it_names(stage: Stage) -> None:
    told: Callable[..., ExperimentRecord] = lambda says: stage.play(  # noqa: E731
        replace(marked(stage, Told(says=says)), twin="without", breaks=("told",))
    )
    assert told(Verdict.BROKEN).passed
    assert not told(Verdict.HELD).passed
    assert not told(Verdict.INCONCLUSIVE).passed

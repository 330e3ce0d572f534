"""The steps at the end of an experiment: all of them run, and no error is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.common.errors import HarnessError, Inconclusive
from harness.engine.steps.clean_up import CleanUp
from harness.engine.steps.site import Site
from harness.experiment.declaration import Experiment
from harness.model.verdict import Verdict
from harness.probes.observers import Observers
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def _marked(stage: Stage) -> Experiment:
    return replace(stage.experiment(), faults=(Mark(),), objectives=(Told(),))


def _raising(error: BaseException) -> Callable[..., Any]:
    def step(*_: Any) -> None:
        raise error

    return step


def _stopped_with(error: BaseException) -> Callable[..., None]:
    def leave(observers: Observers, *_: object) -> None:
        observers.stop()
        raise error

    return leave


@contextmanager
def _open(log: list[str]) -> Iterator[str]:
    log.append("entered")
    try:
        yield "value"
    finally:
        log.append("exited")


def test_steps_run_in_reverse_and_all_errors_are_kept() -> None:
    clean_up, log, first, second = CleanUp(), list[str](), HarnessError("first"), HarnessError("second")
    clean_up.callback(_raising(second))
    assert clean_up.enter_context(_open(log)) == "value"
    clean_up.callback(_raising(first))
    assert log == ["entered"]
    with pytest.raises(HarnessError, match="second"):
        clean_up.run(None)
    assert log == ["entered", "exited"]
    assert clean_up.errors == [first, second]
    assert not clean_up.interrupted


def test_error_that_ended_the_experiment_comes_first() -> None:
    clean_up, ended, failed = CleanUp(), KeyboardInterrupt(), HarnessError("failed")
    clean_up.enter_context(_open([]))
    clean_up.callback(_raising(failed))
    with pytest.raises(HarnessError, match="failed"):
        clean_up.run(ended)
    assert clean_up.errors == [ended, failed]
    assert clean_up.interrupted


def test_error_before_the_end_is_no_error_of_the_clean_up() -> None:
    clean_up = CleanUp()
    with pytest.raises(HarnessError), clean_up.collecting():
        raise HarnessError("during the experiment")
    clean_up.run(None)
    assert clean_up.errors == []


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_interruption_is_found_behind_an_error(link: str) -> None:
    error = HarnessError("raised while an interruption was handled")
    setattr(error, link, LookupError())
    setattr(getattr(error, link), link, KeyboardInterrupt())
    clean_up = CleanUp()
    clean_up.callback(_raising(error))
    with pytest.raises(HarnessError):
        clean_up.run(None)
    assert clean_up.interrupted


def test_interruption_is_kept_when_an_undo_has_a_bug(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "evidence", _raising(KeyboardInterrupt()))
    monkeypatch.setattr(Mark, "undo", _raising(ZeroDivisionError("a bug")))
    with pytest.raises(KeyboardInterrupt):
        stage.play(_marked(stage))
    assert "ZeroDivisionError: a bug" in stage.stored().reason


def test_interruption_of_one_step_is_kept_when_the_next_fails(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Observers, "__exit__", _stopped_with(KeyboardInterrupt()))
    monkeypatch.setattr(Site, "close", _raising(HarnessError("namespace stays")))
    with pytest.raises(KeyboardInterrupt):
        stage.play(_marked(stage))
    assert "namespace stays; the verdict before this error was HELD" in stage.stored().reason


def test_failed_step_is_recorded_when_the_next_is_interrupted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Observers, "__exit__", _stopped_with(HarnessError("an observer failed")))
    monkeypatch.setattr(Site, "close", _raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        stage.play(_marked(stage))
    record = stage.stored()
    assert (record.verdict, record.passed) == (Verdict.INCONCLUSIVE, False)
    assert "an observer failed; the verdict before this error was HELD" in record.reason


def test_reason_is_recorded_when_diagnostics_are_interrupted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mark, "evidence", _raising(Inconclusive("an observer died")))
    monkeypatch.setattr("harness.engine.record_keeping.collect", _raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        stage.play(_marked(stage))
    assert "an observer died" in stage.stored().reason

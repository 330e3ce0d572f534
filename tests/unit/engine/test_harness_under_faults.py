"""Faults of the harness's own surroundings: API storms, an expired token, a full disk, no file handles left.

Whatever happens, the record survives with the reason, nothing comes out HELD that was not seen, and the effect is taken
back, or is said to be there and can be taken back from the journal.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.fake.server import Call
from harness.cluster.kube.resources import CONFIG_MAPS
from harness.common.errors import ApiError, HarnessError, UndoFailed
from harness.experiment.declaration import Experiment
from harness.model.verdict import Verdict
from harness.results.record import RunRecord
from harness.results.reporting.store import RunStore
from tests.fake_plugin import Mark, Told, kinds
from tests.fake_run import Stage

STEPS = [
    "deploying",
    "baseline",
    "fault",
    "mark",
    "undoing",
    "recovery",
    "settle",
    "querying probes and Prometheus",
    "cleaning up",
]
STORMS = {
    "connection lost": (0, "ConnectionFailed"),
    "expired token": (401, "Unauthorized"),
    "too many requests": (429, "TooManyRequests"),
    "internal errors": (500, "InternalError"),
    "unavailable": (503, "ServiceUnavailable"),
}
SHORT, LONG = 1.0, 300.0


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    for kind, found in kinds().items():
        monkeypatch.setattr(f"harness.experiment.registry.{kind}", found)
    return Stage(tmp_path)


def marked(stage: Stage) -> Experiment:
    return replace(stage.experiment(), faults=(Mark(),), objectives=(Told(),))


@dataclass
class Storm:
    """Every call fails from the moment that a step is announced, for so many seconds of the experiment's own time."""

    stage: Stage
    step: str
    seconds: float
    status: int
    reason: str
    begun: float | None = None
    hit: int = 0

    def admit(self, call: Call) -> None:
        if self.begun is None and any(f": {self.step}" in line for line in self.stage.said):
            self.begun = self.stage.clock.monotonic()
        if self.rages:
            self.hit += 1
            raise ApiError(self.status, self.reason, f"{call.method} {call.path}: a storm")

    @property
    def rages(self) -> bool:
        return self.begun is not None and self.stage.clock.monotonic() - self.begun < self.seconds


@contextmanager
def storm(stage: Stage, kind: str, step: str, seconds: float) -> Iterator[Storm]:
    raging = Storm(stage, step, seconds, *STORMS[kind])
    server, admit = stage.cluster.server, stage.cluster.server.admit

    def stormy(call: Call) -> None:
        raging.admit(call)
        admit(call)

    server.admit = stormy  # type: ignore[method-assign]
    try:
        yield raging
    finally:
        server.admit = admit  # type: ignore[method-assign]


def marks(stage: Stage) -> list[str]:
    """Effects that are still in the cluster."""
    found = stage.cluster.server.store.list(CONFIG_MAPS)
    return [item["metadata"]["name"] for item in found if item["metadata"]["name"] == "broken"]


def play(stage: Stage) -> BaseException | None:
    """Play the experiment; what it raised."""
    try:
        stage.play(marked(stage))
    except (HarnessError, OSError) as error:
        return error
    return None


def test_the_steps_are_those_that_an_experiment_announces(stage: Stage) -> None:
    """Or the storms below would break out nowhere."""
    stage.play(marked(stage))
    assert [step for step in STEPS if not any(f": {step}" in line for line in stage.said)] == []


@pytest.mark.parametrize("kind", STORMS)
@pytest.mark.parametrize("step", STEPS)
def test_passing_storm_leaves_nothing(stage: Stage, kind: str, step: str) -> None:
    with storm(stage, kind, step, SHORT):
        raised = play(stage)
    record = stage.stored()
    assert record.stage == "closed"
    assert (raised is None and record.passed) or record.verdict == Verdict.INCONCLUSIVE
    assert record.reason
    assert marks(stage) == []
    if not raised:
        assert stage.namespaces() == []


@pytest.mark.parametrize("kind", STORMS)
@pytest.mark.parametrize("step", STEPS)
def test_lasting_api_storm_is_reported_and_the_journal_undoes_it(stage: Stage, kind: str, step: str) -> None:
    with storm(stage, kind, step, LONG) as raging:
        raised = play(stage)
    assert raging.hit
    record = stage.stored()
    assert record.stage == "closed"
    assert not record.passed
    assert record.verdict == Verdict.INCONCLUSIVE
    left = marks(stage)
    undos = [undo for fault in record.faults for undo in fault.undo]
    if left:
        assert isinstance(raised, UndoFailed)
        assert "UNDO FAILED" in record.reason
        assert [undo.state for undo in undos] == ["failed"]
        (file,) = stage.store.folder.rglob("undo.jsonl")
        assert '"mark"' in file.read_text()
    else:
        assert {undo.state for undo in undos} <= {"done"} or "UNDO FAILED" in record.reason


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def no_handles(*_: object, **__: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize("error", [full, no_handles])
def test_no_effect_without_its_undo_on_disk(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Callable[..., None]
) -> None:
    opened = Path.open

    def fails(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "undo.jsonl":
            error()
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", fails)
    raised = play(stage)
    assert isinstance(raised, OSError)
    assert not [call for call in stage.cluster.server.calls if call.method == "POST" and "configmaps" in call.path]
    assert stage.stored().verdict == Verdict.INCONCLUSIVE
    assert os.strerror(errno.ENOSPC if error is full else errno.EMFILE) in stage.stored().reason
    assert (marks(stage), stage.namespaces()) == ([], [])


@pytest.mark.parametrize("saves", range(1, 5))
def test_a_disk_that_is_full_keeps_no_fault(stage: Stage, monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """However much of the record could be saved before."""
    save, left = RunStore.save, iter(range(saves))

    def fails(store: RunStore, record: Any) -> None:
        if next(left, None) is None:
            full()
        save(store, record)

    monkeypatch.setattr(RunStore, "save", fails)
    raised = play(stage)
    assert isinstance(raised, OSError) or saves == 4
    assert (marks(stage), stage.namespaces()) == ([], [])
    (record,) = stage.store.merge(RunRecord(run="run1", started="", seed=1, harness="")).experiments
    assert record.verdict != Verdict.HELD or record.stage == "closed"
